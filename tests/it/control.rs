//! What operators order of a running fleet, and what it tells of itself as a whole.

use std::{collections::BTreeMap, process::Command};

use tokio::time::{Duration, Instant, interval};
use tsms::{
    domain::{checksum::Version, time::Timestamp},
    stage::Stage,
    store::NewHold,
    telemetry::{dashboards, expression, metrics},
};

use crate::{
    bodies::{batch, sale},
    on_both_tiers,
    procfile::Processes,
    world::{DEADLINE, Tier, World},
};

on_both_tiers!(
    a_paused_queue_stands_still_and_goes_on,
    a_paused_tenant_waits_and_others_do_not
);

/// Waits until `come_true` says so, looking again every 50 ms.
pub(crate) async fn until(what: &str, mut come_true: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    let mut turn = interval(Duration::from_millis(50));
    while !come_true().await {
        assert!(Instant::now() < deadline, "in vain: {what}");
        turn.tick().await;
    }
}

/// Waits until the workers of `stage` know of every order that stands in the record by now: a process says
/// that it is alive with the time at which it began to read the orders, after it has followed them.
pub(crate) async fn heard(world: &World, stage: Stage) {
    let since = Timestamp::now();
    until("the workers read the orders", async || {
        let staff = world.store.staff(since).await.unwrap();
        staff.iter().any(|row| row.queue == stage.name())
    })
    .await;
}

/// An order that holds a queue, or a tenant in it, for an hour.
pub(crate) fn hold(queue: Option<Stage>, tenant_id: Option<i64>) -> NewHold {
    NewHold {
        queue: queue.map(|stage| stage.name().to_owned()),
        tenant_id,
        owner: "J. Cruz".to_owned(),
        reason: "a test".to_owned(),
        ends_at: Timestamp::now().plus(Duration::from_secs(3600)),
    }
}

async fn scrape(world: &World) -> String {
    let request = world.http.get(format!("{}/metrics", world.base));
    request.send().await.unwrap().text().await.unwrap()
}

/// The value of a series, by the whole of its name and labels.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

async fn a_paused_queue_stands_still_and_goes_on(world: World) {
    let till = world.till();
    world
        .store
        .hold_queue(&hold(Some(Stage::Processing), None))
        .await
        .unwrap();
    until("the pause is seen", async || {
        value(&scrape(&world).await, r#"tsms_queue_paused{queue="processing"}"#) == Some(1.0)
    })
    .await;
    heard(&world, Stage::Processing).await;
    until("a sale that is posted stays in the queue", async || {
        let seed = u64::try_from(Timestamp::now().as_micros()).unwrap();
        assert_eq!(
            world.post(till, sale(till, Version::V21, seed).body).await.status,
            202
        );
        let depth = world.queue.depth(Stage::Processing).await.unwrap();
        depth.ready > 0
            && depth.in_flight == 0
            && world.queue.depth(Stage::Validation).await.unwrap().ready == 0
    })
    .await;
    let peeked = world.queue.peek(Stage::Processing, 10).await.unwrap();
    assert!(!peeked.is_empty());
    let before = world.queue.depth(Stage::Processing).await.unwrap();
    assert_eq!(before.in_flight, 0, "a paused pool holds no job");
    assert_eq!(world.store.lift_holds(Some("processing"), None).await.unwrap(), 1);
    let actions = world.store.list_actions(0, 100).await.unwrap();
    let actions: Vec<&str> = actions
        .iter()
        .map(|row| row.action.as_str())
        .filter(|action| action.starts_with("queue."))
        .collect();
    assert_eq!(actions, ["queue.paused", "queue.resumed"]);
    world.stop().await;
}

async fn a_paused_tenant_waits_and_others_do_not(world: World) {
    let (held, free) = (&world.tills[0], &world.tills[2]);
    let tenant = world.store.list_terminals(None, 0, 10).await.unwrap()[0].tenant_id;
    world
        .store
        .hold_queue(&hold(Some(Stage::Forwarding), Some(tenant)))
        .await
        .unwrap();
    until("the work of the tenant is put back", async || {
        let seed = u64::try_from(Timestamp::now().as_micros()).unwrap();
        assert_eq!(
            world.post(held, sale(held, Version::V21, seed).body).await.status,
            202
        );
        world.queue.depth(Stage::Forwarding).await.unwrap().delayed > 0
    })
    .await;
    let sent = world.sink.summary().distinct;
    assert_eq!(
        world.post(free, sale(free, Version::V21, 5).body).await.status,
        202
    );
    world
        .sink
        .wait_until(|seen| seen.distinct > sent, DEADLINE)
        .await
        .unwrap();
    assert!(metrics::jobs_so_far(Stage::Forwarding, "done") > 0);
    assert!(world.queue.depth(Stage::Forwarding).await.unwrap().delayed > 0);
    world.end().await;
}

/// The series of a scrape: for each metric its label sets.
fn series(text: &str) -> BTreeMap<String, Vec<Vec<(String, String)>>> {
    let mut found: BTreeMap<String, Vec<Vec<(String, String)>>> = BTreeMap::new();
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let (name, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
        let labels = labels
            .trim_end_matches('}')
            .split(',')
            .filter(|pair| !pair.is_empty());
        let labels = labels.map(|pair| {
            let (label, value) = pair.split_once('=').unwrap();
            (label.to_owned(), value.trim_matches('"').to_owned())
        });
        found.entry(name.to_owned()).or_default().push(labels.collect());
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worked_system_has_every_series_of_the_dashboards_within_the_bounds() {
    let world = World::start(Tier::Fleet).await;
    for (till, seed) in world.tills.iter().zip(0..) {
        let answer = world.post(till, batch(till, Version::V21, 3, seed).body).await;
        assert_eq!(answer.status, 202);
    }
    world.drain().await;
    // A pool rests only while many tills wait at the same time, which three do not.
    metrics::rested(Stage::Validation, Duration::from_millis(1));
    let mut missing = Vec::new();
    // A little earlier than the wait gives up, so as to say what is missing.
    let deadline = Instant::now() + DEADLINE / 2;
    until("every gauge was read once", async || {
        assert!(Instant::now() < deadline, "not shown: {missing:?}");
        let shown = series(&scrape(&world).await);
        missing.clear();
        for dashboard in dashboards::all() {
            for text in dashboards::expressions(&dashboard) {
                for metric in expression::named(&text).metrics {
                    let parts = [metric.to_owned(), format!("{metric}_bucket")];
                    if !parts.iter().any(|part| shown.contains_key(part)) {
                        missing.push(format!("{}: {metric}", dashboard.name));
                    }
                }
            }
        }
        missing.is_empty()
    })
    .await;
    let shown = series(&scrape(&world).await);
    for metric in metrics::TABLE {
        for label in metrics::LABELS
            .iter()
            .filter(|label| metric.labels.contains(&label.name))
        {
            let mut values: Vec<&str> = ["", "_bucket"]
                .iter()
                .filter_map(|part| shown.get(&format!("{}{part}", metric.name)))
                .flatten()
                .flatten()
                .filter(|(name, _)| name == label.name)
                .map(|(_, value)| value.as_str())
                .collect();
            values.sort_unstable();
            values.dedup();
            assert!(
                values.len() <= label.most,
                "{} {}: {values:?}",
                metric.name,
                label.name
            );
            let strange = values
                .iter()
                .find(|value| !label.known.is_empty() && !label.known.contains(value));
            assert_eq!(strange, None, "{} {}", metric.name, label.name);
        }
    }
    let declared = |name: &str| {
        metrics::TABLE.iter().any(|metric| name.starts_with(metric.name))
            || metrics::PROCESS_METRICS
                .iter()
                .any(|(process, ..)| *process == name)
    };
    let foreign: Vec<&String> = shown.keys().filter(|name| !declared(name)).collect();
    assert!(foreign.is_empty(), "shown and not declared: {foreign:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_speaks_for_the_fleet_and_another_takes_over() {
    let mut fleet = Processes::start(&[("scheduler", 2)]).await;
    let tellers = async |fleet: &Processes| {
        let mut tellers = Vec::new();
        for name in fleet.running.keys() {
            let url = format!("http://127.0.0.1:{}/metrics", fleet.running[name].port);
            let text = reqwest::get(url).await.unwrap().text().await.unwrap();
            if text.contains("tsms_queue_jobs{") {
                tellers.push(name.clone());
            }
        }
        tellers
    };
    until("one scheduler has the duty", async || {
        tellers(&fleet).await.len() == 1
    })
    .await;
    let first = tellers(&fleet).await.remove(0);
    assert!(first.starts_with("scheduler."), "{first}");
    for stage in Stage::ALL {
        let one = format!("tsms_queue_workers{{queue=\"{stage}\"}} ");
        until("the workers gave a sign of life", async || {
            fleet.metric(&first, &one).await == 1
        })
        .await;
    }
    fleet.running.remove(&first).unwrap().guarded.kill9();
    until("the other takes over", async || tellers(&fleet).await.len() == 1).await;
    fleet.stop();
}

/// The exit code of a command of an operator, and what it said.
fn command_line(fleet: &Processes, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsms"));
    let ended = command
        .args(args)
        .env("TSMS_CONFIG", fleet.config())
        .output()
        .unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn widths_change_live_in_every_process_within_the_budget() {
    let fleet = Processes::start(&[("processing", 2)]).await;
    let tsms = |args: &[&str]| command_line(&fleet, args);
    let sets = async || {
        let alive = Timestamp::now().minus(Duration::from_secs(5));
        let staff = fleet.store.staff(alive).await.unwrap();
        let found = staff.into_iter().find(|staff| staff.queue == "processing");
        found.map_or((0, 0), |staff| (staff.processes, staff.concurrency))
    };
    until("both processes gave a sign of life", async || {
        sets().await == (2, 4)
    })
    .await;
    let (code, said) = tsms(&["scale", "set", "processing", "5", "--reason", "Christmas"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 to 5"), "{said}");
    until("both processes followed", async || sets().await == (2, 10)).await;
    let (code, said) = tsms(&["scale", "set", "processing", "3", "--reason", "over"]);
    assert_eq!(code, Some(0), "{said}");
    until("both processes followed again", async || sets().await == (2, 6)).await;
    // More than a process may ever have, and more than its connections carry.
    assert_eq!(
        tsms(&["scale", "set", "processing", "33", "--reason", "x"]).0,
        Some(2)
    );
    let pool = fleet.store.connections().limit;
    if pool < 32 {
        let wide = (pool + 1).to_string();
        let (code, said) = tsms(&["scale", "set", "processing", &wide, "--reason", "x"]);
        assert_eq!(code, Some(6), "{said}");
    }
    let (_, said) = tsms(&["scale", "history"]);
    assert!(said.contains("Christmas") && said.contains("cli:"), "{said}");
    let (_, said) = tsms(&["scale", "--json"]);
    assert!(
        said.contains(r#""processes":2,"queue":"processing","set":true,"sets":6,"width":3"#),
        "{said}"
    );
    let moves = fleet.store.width_moves(10).await.unwrap();
    let moves: Vec<(u64, u64)> = moves.iter().map(|step| (step.was, step.becomes)).collect();
    assert_eq!(moves, [(5, 3), (2, 5)]);
    let actions = fleet.store.list_actions(0, 100).await.unwrap();
    assert_eq!(
        actions.iter().filter(|row| row.action == "queue.scaled").count(),
        2
    );
    fleet.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_pauses_every_process_of_a_queue() {
    let fleet = Processes::start(&[("forwarding", 2)]).await;
    let tsms = |args: &[&str]| command_line(&fleet, args);
    let order = ["--minutes", "5", "--owner", "J. Cruz", "--reason", "a test"];
    let pause = [&["queue", "pause", "forwarding"][..], &order].concat();
    let (code, said) = tsms(&pause);
    assert_eq!(code, Some(0), "{said}");
    assert!(tsms(&["queue", "holds"]).1.contains("J. Cruz"));
    let (code, said) = tsms(&["queue", "peek", "forwarding", "--json"]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "nothing waits");
    // Empty already, and what is before it is held.
    let drain = [&["queue", "drain", "forwarding"][..], &order].concat();
    let (code, said) = tsms(&drain);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("processing stands still") && said.contains("forwarding is empty"),
        "{said}"
    );
    for queue in ["forwarding", "processing"] {
        let (code, said) = tsms(&["queue", "resume", queue]);
        assert_eq!(code, Some(0), "{said}");
    }
    let (code, said) = tsms(&["queue", "resume", "forwarding"]);
    assert_eq!(code, Some(5), "nothing holds it any more: {said}");
    let holds = fleet.store.list_holds(0, 10).await.unwrap();
    assert_eq!(holds.len(), 2);
    assert!(holds.iter().all(|hold| hold.lifted_at.is_some()), "{holds:?}");
    fleet.stop();
}
