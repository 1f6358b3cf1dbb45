//! The committer against a record and a queue that do as the test says. Every wait is for an event.

use std::sync::atomic::{AtomicI64, AtomicUsize};

use tokio::sync::{Semaphore, mpsc::UnboundedReceiver, mpsc::UnboundedSender};

use super::*;
use crate::ingress::fixture;

/// What the pretended record does with the next set.
#[derive(Clone, Copy)]
enum Mood {
    Keep,
    Replay,
    Conflict,
    Fail,
    Panic,
    Hang,
    MiscountOne,
}

const FIRST: Timestamp = Timestamp::from_micros(1_000_000);

struct Bench {
    committer: Committer,
    pipeline: Pipeline,
    /// The sets that reached the record, by their sizes.
    commits: UnboundedReceiver<usize>,
    /// The jobs that reached the queue, call by call.
    pushes: UnboundedReceiver<Vec<Job>>,
    /// One permit lets one commit through.
    gate: Arc<Semaphore>,
    budget: Arc<Semaphore>,
}

/// A bench whose commits take their moods in turn; the last one stays.
fn bench(change: impl FnOnce(&mut config::Ingress), moods: &'static [Mood]) -> Bench {
    bench_with_queue(change, moods, |_| Ok(()))
}

fn bench_with_queue(
    change: impl FnOnce(&mut config::Ingress),
    moods: &'static [Mood],
    push: fn(usize) -> Result<(), QueueError>,
) -> Bench {
    let mut settings = fixture::settings();
    settings.commit_writers = 1;
    settings.commit_tenant_percent = 100;
    change(&mut settings);
    let (committed, commits) = mpsc::unbounded_channel();
    let (pushed, pushes) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let turns = Arc::new(AtomicUsize::new(0));
    let ids = Arc::new(AtomicI64::new(100));
    let commit = {
        let gate = Arc::clone(&gate);
        move |drafts: Vec<Draft>| {
            let (committed, gate, ids) = (committed.clone(), Arc::clone(&gate), Arc::clone(&ids));
            let turn = turns.fetch_add(1, Ordering::SeqCst);
            let mood = moods.get(turn).or(moods.last()).copied().unwrap_or(Mood::Keep);
            async move { pretend(drafts, mood, &committed, &gate, &ids).await }
        }
    };
    let calls = AtomicUsize::new(0);
    let push = move |jobs: Vec<Job>| {
        let (call, pushed) = (calls.fetch_add(1, Ordering::SeqCst), pushed.clone());
        async move {
            pushed.send(jobs).unwrap();
            push(call)
        }
    };
    let (committer, pipeline) = start_with(&settings, commit, push);
    Bench {
        committer,
        pipeline,
        commits,
        pushes,
        gate,
        budget: Arc::new(Semaphore::new(1_000_000)),
    }
}

async fn pretend(
    drafts: Vec<Draft>,
    mood: Mood,
    committed: &UnboundedSender<usize>,
    gate: &Semaphore,
    ids: &AtomicI64,
) -> Result<Vec<(NewSubmission, Accepted)>, StoreError> {
    committed.send(drafts.len()).unwrap();
    gate.acquire().await.unwrap().forget();
    let accepted = match mood {
        Mood::Keep | Mood::MiscountOne => Accepted::New,
        Mood::Replay => Accepted::Replay {
            id: 1,
            accepted_at: FIRST,
        },
        Mood::Conflict => Accepted::Conflict { accepted_at: FIRST },
        Mood::Fail => return Err(StoreError::Missing("database")),
        Mood::Panic => panic!("as the test says"),
        Mood::Hang => std::future::pending().await,
    };
    let rows = drafts.into_iter().map(|draft| {
        let row = row(draft, ids.fetch_add(1, Ordering::SeqCst), FIRST);
        (row, accepted.clone())
    });
    let skip = usize::from(matches!(mood, Mood::MiscountOne));
    Ok(rows.skip(skip).collect())
}

fn draft(body: &[u8]) -> Draft {
    Draft {
        tenant_id: 3,
        terminal_id: 7,
        submission_uuid: Uuid::new_v4(),
        submission_timestamp: FIRST,
        payload_checksum: [0; 32],
        transaction_ids: vec![Uuid::new_v4()],
        request_id: "r-1".to_owned(),
        body: Bytes::copy_from_slice(body),
    }
}

type Answer = oneshot::Receiver<Result<Kept, Failed>>;

impl Bench {
    fn try_submit(&self, body: &[u8]) -> Result<Answer, Full> {
        let share = Arc::clone(&self.budget).try_acquire_many_owned(10).unwrap();
        self.committer.submit(draft(body), share)
    }

    fn submit(&self) -> Answer {
        self.try_submit(b"{}").unwrap()
    }

    fn open(&self, commits: usize) {
        self.gate.add_permits(commits);
    }

    async fn commit_size(&mut self) -> usize {
        fixture::soon(self.commits.recv()).await.unwrap()
    }

    async fn pushed(&mut self) -> Vec<Job> {
        fixture::soon(self.pushes.recv()).await.unwrap()
    }
}

async fn kept(answer: Answer) -> Result<Kept, Failed> {
    fixture::soon(answer).await.unwrap()
}

fn accepted(id: i64) -> Result<Kept, Failed> {
    Ok(Kept::Accepted {
        id,
        accepted_at: FIRST,
    })
}

#[tokio::test]
async fn whoever_waits_joins_the_next_commit_up_to_its_rows() {
    let mut bench = bench(|s| s.commit_rows = 3, &[Mood::Keep]);
    let mut answers = vec![bench.submit()];
    assert_eq!(
        bench.commit_size().await,
        1,
        "an idle committer does not wait for company"
    );
    answers.extend((0..5).map(|_| bench.submit()));
    bench.open(3);
    assert_eq!(bench.commit_size().await, 3);
    assert_eq!(bench.commit_size().await, 2);
    for (position, answer) in answers.into_iter().enumerate() {
        assert_eq!(
            kept(answer).await,
            accepted(100 + i64::try_from(position).unwrap())
        );
    }
}

#[tokio::test]
async fn a_commit_is_bounded_in_bytes() {
    let mut bench = bench(|s| s.commit_bytes = 10, &[Mood::Keep]);
    let _first = bench.submit();
    assert_eq!(bench.commit_size().await, 1);
    let _waiting: Vec<Answer> = (0..5).map(|_| bench.try_submit(b"123456").unwrap()).collect();
    bench.open(4);
    assert_eq!(bench.commit_size().await, 2);
    assert_eq!(bench.commit_size().await, 2);
    assert_eq!(bench.commit_size().await, 1);
}

#[tokio::test]
async fn a_failed_commit_is_told_to_everybody_in_it_and_to_nobody_after() {
    let mut bench = bench(|_| {}, &[Mood::Fail, Mood::Panic, Mood::MiscountOne, Mood::Keep]);
    bench.open(4);
    for _ in 0..3 {
        let answer = bench.submit();
        assert_eq!(kept(answer).await, Err(Failed));
    }
    let answer = bench.submit();
    assert!(kept(answer).await.is_ok());
    assert_eq!(
        bench.pushed().await.len(),
        1,
        "only what is known to be kept is enqueued"
    );
    assert_eq!(
        bench.budget.available_permits(),
        1_000_000,
        "no body is left in memory"
    );
}

#[tokio::test]
async fn a_commit_that_hangs_is_given_up_and_the_next_one_runs() {
    let limit = fixture::millis(500);
    let bench = bench(|s| s.request_timeout_ms = limit, &[Mood::Hang, Mood::Keep]);
    bench.open(2);
    assert_eq!(kept(bench.submit()).await, Err(Failed));
    assert!(kept(bench.submit()).await.is_ok());
}

#[tokio::test]
async fn only_new_submissions_are_enqueued() {
    let mut bench = bench(|_| {}, &[Mood::Replay, Mood::Conflict, Mood::Keep]);
    bench.open(3);
    assert_eq!(kept(bench.submit()).await, accepted(1));
    assert_eq!(
        kept(bench.submit()).await,
        Ok(Kept::Conflict { accepted_at: FIRST })
    );
    assert_eq!(kept(bench.submit()).await, accepted(102));
    let jobs = bench.pushed().await;
    assert_eq!(jobs.len(), 1);
    assert_eq!((jobs[0].key, jobs[0].tenant_id, jobs[0].attempt), (102, 3, 0));
    assert_eq!(jobs[0].request_id, "r-1");
}

#[tokio::test]
async fn a_large_body_stays_out_of_the_job() {
    let mut bench = bench(|s| s.job_body_bytes = 4, &[Mood::Keep]);
    bench.open(2);
    let small = bench.try_submit(b"1234").unwrap();
    assert!(kept(small).await.is_ok());
    assert!(!bench.pushed().await[0].body.is_empty());
    let large = bench.try_submit(b"12345").unwrap();
    assert!(kept(large).await.is_ok());
    assert!(bench.pushed().await[0].body.is_empty());
}

#[tokio::test]
async fn jobs_that_wait_for_a_slow_queue_go_without_bodies() {
    let mut bench = bench(|s| s.enqueue_bodies = 0, &[Mood::Keep]);
    bench.open(1);
    assert!(kept(bench.submit()).await.is_ok());
    let jobs = bench.pushed().await;
    assert_eq!((jobs[0].body.len(), jobs[0].request_id.as_str()), (0, "r-1"));
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_cancel_its_commit() {
    let mut bench = bench(|_| {}, &[Mood::Keep]);
    drop(bench.submit());
    assert_eq!(bench.commit_size().await, 1);
    bench.open(1);
    assert_eq!(bench.pushed().await.len(), 1);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_keeps_its_promises() {
    let mut bench = bench(|s| s.commit_queue = 2, &[Mood::Keep]);
    let first = bench.submit();
    assert_eq!(bench.commit_size().await, 1);
    let waiting = [bench.submit(), bench.submit()];
    assert!(bench.committer.is_full());
    assert_eq!(bench.try_submit(b"{}").err(), Some(Full::Everybody));
    bench.open(2);
    assert!(kept(first).await.is_ok());
    for answer in waiting {
        assert!(kept(answer).await.is_ok());
    }
    assert!(!bench.committer.is_full());
}

#[tokio::test]
async fn a_queue_that_is_away_costs_a_push_and_not_an_answer() {
    let mut bench = bench_with_queue(
        |_| {},
        &[Mood::Keep],
        |call| match call {
            0 => Err(QueueError::Unavailable("as the test says".to_owned())),
            1 => panic!("as the test says"),
            _ => Ok(()),
        },
    );
    bench.open(3);
    for _ in 0..3 {
        assert!(kept(bench.submit()).await.is_ok());
        assert_eq!(bench.pushed().await.len(), 1);
    }
}

#[tokio::test]
async fn the_flush_commits_and_pushes_what_waits_and_then_nothing_more() {
    let mut bench = bench(|s| s.commit_rows = 2, &[Mood::Keep]);
    let answers: Vec<Answer> = (0..5).map(|_| bench.submit()).collect();
    bench.open(5);
    bench.pipeline.flush(fixture::PATIENCE).await;
    for answer in answers {
        assert!(kept(answer).await.is_ok());
    }
    let mut pushed = 0;
    while let Some(jobs) = bench.pushes.recv().await {
        pushed += jobs.len();
    }
    assert_eq!(pushed, 5);
    assert!(bench.committer.is_full());
    let share = Arc::clone(&bench.budget).try_acquire_many_owned(1).unwrap();
    assert_eq!(
        bench.committer.submit(draft(b"{}"), share).err(),
        Some(Full::Everybody)
    );
}
