use super::*;
use crate::queue::Gather;

const POOL: Pool = Pool {
    concurrency: 1,
    express: 0,
    ahead: true,
    batch: 2,
    gather: Gather::NONE,
    lease: Duration::ZERO,
    max_deliveries: 5,
};

fn job(tenant_id: i64, key: i64) -> Job {
    Job {
        key,
        tenant_id,
        attempt: 0,
        enqueued_at: Timestamp::from_micros(0),
        request_id: String::new(),
        body: bytes::Bytes::new(),
    }
}

fn filled(count: i64) -> Jobs {
    let mut jobs = Jobs::new(1000, 0);
    for key in 0..count {
        jobs.append(Instant::now(), job(1, key), 0);
    }
    jobs
}

fn keys(set: &Set) -> Vec<i64> {
    set.iter().map(|entry| entry.job.key).collect()
}

fn all(set: &Set, fate: fn() -> Fate) -> Settled {
    set.iter().map(|entry| (entry.id, fate())).collect()
}

#[test]
fn taken_and_parked_jobs_count() {
    let mut jobs = filled(3);
    let set = jobs.take(POOL, Lanes::Both, 7);
    assert_eq!(jobs.count(), 3);
    jobs.settle(
        all(&set, || Fate::Park("test".to_owned())),
        Instant::now(),
        POOL.lease,
    );
    assert_eq!(jobs.count(), 3);
    let set = jobs.take(POOL, Lanes::Both, 7);
    jobs.settle(all(&set, || Fate::Done), Instant::now(), POOL.lease);
    assert_eq!(jobs.count(), 2);
}

#[test]
fn handed_back_jobs_keep_their_place_and_count() {
    let mut jobs = filled(6);
    let first = jobs.take(POOL, Lanes::Both, 7);
    let second = jobs.take(POOL, Lanes::Both, 7);
    for set in [first, second] {
        jobs.settle(all(&set, || Fate::HandBack), Instant::now(), POOL.lease);
    }
    let again = jobs.take(POOL, Lanes::Both, 7);
    assert_eq!(keys(&again), [0, 1]);
    assert!(again.iter().all(|entry| entry.deliveries == 1));
    assert_eq!(keys(&jobs.take(POOL, Lanes::Both, 7)), [2, 3]);
}

#[test]
fn a_job_whose_worker_broke_down_twice_is_worked_on_alone() {
    let mut jobs = filled(2);
    for _ in 0..2 {
        let set = jobs.take(POOL, Lanes::Both, 7);
        assert_eq!(keys(&set), [0, 1]);
        jobs.settle(jobs.left_by(7), Instant::now(), POOL.lease);
        jobs.promote(Instant::now(), 10);
    }
    let set = jobs.take(POOL, Lanes::Both, 7);
    assert_eq!((keys(&set), set[0].deliveries), (vec![0], 3));
}

#[test]
fn a_set_is_half_of_each_lane_while_both_have_jobs() {
    let mut jobs = Jobs::new(2, 0);
    let now = Instant::now();
    (0..20).for_each(|key| jobs.append(now, job(1, key), 0));
    [100, 200, 300]
        .into_iter()
        .for_each(|key| jobs.append(now, job(key, key), 0));
    let pool = Pool { batch: 4, ..POOL };
    let mut taken = || keys(&jobs.take(pool, Lanes::Both, 7));
    assert_eq!(taken(), [0, 1, 2, 3]);
    assert_eq!(taken(), [4, 5, 100, 200]);
    assert_eq!(taken(), [300, 6, 7, 8]);
    assert_eq!(taken(), [9, 10, 11, 12]);
}

#[test]
fn a_suspect_in_the_crowd_gets_its_turn_alone() {
    let mut jobs = Jobs::new(2, 0);
    let now = Instant::now();
    jobs.append(now, job(1, 0), 0);
    jobs.append(now, job(1, 1), 0);
    jobs.append(now, job(1, 2), 4);
    (10..16).for_each(|key| jobs.append(now, job(key, key), 0));
    let taken: Vec<Vec<i64>> = (0..4).map(|_| keys(&jobs.take(POOL, Lanes::Both, 7))).collect();
    assert_eq!(taken, [vec![0], vec![2], vec![1, 10], vec![11, 12]]);
}

#[test]
fn promotion_has_a_limit_and_a_due_time() {
    let mut jobs = Jobs::new(1000, 0);
    let now = Instant::now();
    for held in filled(5).take(Pool { batch: 5, ..POOL }, Lanes::Both, 7) {
        let after = Duration::from_secs(u64::from(held.job.key == 4) * 60);
        jobs.delay(now, after, held.job, 0);
    }
    jobs.promote(now, 3);
    assert_eq!(jobs.depth().ready, 3);
    jobs.promote(now, 3);
    assert_eq!((jobs.depth().ready, jobs.depth().delayed), (4, 1));
    assert_eq!(jobs.next_due(), Some(now + Duration::from_secs(60)));
    let absurd = jobs.take(POOL, Lanes::Both, 7).remove(0).job;
    jobs.delay(now, Duration::MAX, absurd, 0);
    assert_eq!(jobs.depth().delayed, 2);
}
