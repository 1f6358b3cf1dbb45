//! The fleet tier as an operator runs it: one process a line of the `Procfile`, any of them killed.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tsms::standin::{
    oracle,
    sim::{self, Counters, Outcome, SimOptions, SimReport},
};

use crate::{procfile::Processes, world::DEADLINE};

/// Plays the tills; `midway` happens once the web application has seen a third of the sales.
async fn play(
    fleet: &mut Processes,
    submissions: u64,
    midway: impl AsyncFnOnce(&mut Processes),
) -> SimReport {
    let options = SimOptions {
        rate: 1000,
        count: submissions,
        batch_share: 0,
        ..SimOptions::new(fleet.base(), fleet.tills.clone(), 7)
    };
    let stop = CancellationToken::new();
    let playing = tokio::spawn(sim::run(options, Arc::new(Counters::default()), stop));
    fleet
        .sink
        .wait_until(|seen| seen.distinct >= submissions / 3, DEADLINE)
        .await
        .unwrap();
    midway(fleet).await;
    playing.await.unwrap().unwrap()
}

async fn judge(fleet: &Processes, report: &SimReport) {
    assert_eq!(report.unknown, 0);
    assert!(report.refused.is_empty(), "{:?}", report.refused);
    let accepted = report
        .records
        .iter()
        .filter(|record| matches!(record.outcome, Outcome::Accepted { .. }));
    let expected = accepted
        .flat_map(|record| &record.sales)
        .filter(|sale| sale.valid)
        .count() as u64;
    fleet
        .sink
        .wait_until(|seen| seen.distinct >= expected, DEADLINE)
        .await
        .unwrap();
    fleet.drain().await;
    let findings = oracle::judge(&report.records, &fleet.sink);
    assert!(findings.is_clean(), "{findings}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_forwarding_workers_share_the_work() {
    let mut fleet = Processes::start(&[("forwarding", 2)]).await;
    let report = play(&mut fleet, 2_000, async |_: &mut Processes| {}).await;
    judge(&fleet, &report).await;
    for worker in ["forwarding.1", "forwarding.2"] {
        let done = fleet.metric(worker, "tsms_stage_jobs_total{").await;
        assert!(done > 0, "{worker} did nothing");
    }
    fleet.stop();
}

/// Tills go first: what works in a worker is as nice as the settings say, and none of the others is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_yield_to_the_ingress() {
    let fleet = Processes::start_with(&[], "[fleet]\nworker_nice = 7\n").await;
    // The test itself may have been started nice.
    let own = niceness(std::process::id(), "").into_iter().max().unwrap();
    for (name, process) in &fleet.running {
        let worker = !name.starts_with("ingress") && !name.starts_with("scheduler");
        let nice = if worker { own.max(7) } else { own };
        let threads = niceness(process.guarded.pid().unsigned_abs(), "tokio-rt-worker");
        assert!(!threads.is_empty(), "{name} has threads");
        assert!(
            threads.iter().all(|thread| *thread == nice),
            "{name}: {threads:?}"
        );
    }
    fleet.stop();
}

/// The niceness of each thread of a process that has `name` in its name, as `proc_pid_stat(5)` has it.
fn niceness(process: u32, name: &str) -> Vec<i64> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok());
    // The name in parentheses may hold anything; niceness is the seventeenth field after it.
    let nice = |stat: String| stat.rsplit_once(") ")?.1.split(' ').nth(16)?.parse().ok();
    stats
        .filter(|stat| stat.contains(name))
        .filter_map(nice)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sales_survive_killed_workers_of_every_stage() {
    let mut fleet = Processes::start(&[]).await;
    let report = play(&mut fleet, 3_000, async |fleet: &mut Processes| {
        for stage in ["validation", "processing", "forwarding", "audit", "notification"] {
            let process = format!("{stage}.1");
            fleet.running.get_mut(&process).unwrap().guarded.kill9();
            fleet.launch(&process);
        }
    })
    .await;
    judge(&fleet, &report).await;
    fleet.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sales_survive_a_killed_ingress() {
    let mut fleet = Processes::start(&[]).await;
    let report = play(&mut fleet, 3_000, async |fleet: &mut Processes| {
        fleet.running.get_mut("ingress.1").unwrap().guarded.kill9();
        fleet.launch("ingress.1");
        fleet.ready("ingress.1").await;
    })
    .await;
    judge(&fleet, &report).await;
    fleet.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sales_survive_a_killed_redis_that_forgot_everything() {
    let mut fleet = Processes::start(&[]).await;
    let report = play(&mut fleet, 3_000, async |fleet: &mut Processes| {
        fleet.redis.kill9();
        fleet.redis.restart();
        fleet.redis.flush_all();
    })
    .await;
    judge(&fleet, &report).await;
    fleet.stop();
}
