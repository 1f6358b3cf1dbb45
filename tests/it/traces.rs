//! Spans: one trace from the request to the web application, and nothing lost where no collector takes it.

use tsms::{
    domain::checksum::Version,
    fleet::Roles,
    standin::sim::{SignedBody, SimTerminal},
};

use crate::{
    bodies::{batch, sale},
    collector::{Collector, Manner, PATIENT, Told, lost, parts},
    procfile::Processes,
    world::{Answer, DEADLINE, Tier, World},
};

/// Makes two tests of one scenario that starts its own system.
macro_rules! on_both {
    ($($scenario:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() { super::$scenario($crate::world::Tier::Embedded).await; })+
        }
        mod fleet {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() { super::$scenario($crate::world::Tier::Fleet).await; })+
        }
    };
}

on_both!(
    a_sampled_sale_is_one_trace_to_the_web_application,
    a_batch_carries_the_traces_of_its_sales,
    the_ratio_decides_for_requests_without_a_trace,
    a_collector_that_hangs_holds_up_nothing,
    a_collector_that_refuses_costs_spans_alone,
);

const SUBMIT: &str = "POST /api/v1/transactions/official";
const SENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTHER: &str = "00-1bf7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01";
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const CONSUMER: i32 = 5;

async fn post(world: &World, till: &SimTerminal, body: SignedBody, trace: Option<&str>) -> Answer {
    let mut request = world
        .http
        .post(format!("{}/api/v1/transactions/official", world.base))
        .bearer_auth(&till.token)
        .header("content-type", "application/json")
        .header("x-request-id", "till-7.1")
        .body(body.body);
    if let Some(trace) = trace {
        request = request.header("traceparent", trace);
    }
    Answer::of(request).await
}

/// A system in which no slow job is made again from its row: each has one step.
async fn unswept(tier: Tier, collector: &Collector) -> World {
    let roles = Roles {
        scheduler: false,
        ..Roles::all()
    };
    World::start_roles(
        tier,
        &collector.settings("sample_per_million = 0\nbatch_spans = 2"),
        &roles,
    )
    .await
}

fn named<'a>(spans: &'a [Told], name: &str) -> Vec<&'a Told> {
    spans.iter().filter(|span| span.name == name).collect()
}

async fn a_sampled_sale_is_one_trace_to_the_web_application(tier: Tier) {
    let mut collector = Collector::start(Manner::Takes).await;
    let world = unswept(tier, &collector).await;
    let body = sale(world.till(), Version::V21, 1);
    assert_eq!(post(&world, world.till(), body, Some(SENT)).await.status, 202);
    world.drain().await;
    // Two of the audit log: that it was recorded and decided, and that it was forwarded.
    let spans = collector
        .until(|spans| named(spans, "audit").len() == 2 && named(spans, "POST").len() == 1)
        .await;
    let one = |name: &str| match named(spans, name).as_slice() {
        [only] => *only,
        others => panic!("{name}: {others:#?}"),
    };
    let line = [SUBMIT, "validation", "processing", "forwarding", "POST"].map(one);
    let (trace, till) = parts(SENT);
    assert!(spans.iter().all(|span| span.trace == trace), "{spans:#?}");
    let parents = line.map(|span| span.parent.clone());
    let expected = [&till, &line[0].id, &line[1].id, &line[2].id, &line[3].id];
    assert_eq!(parents.each_ref(), expected);
    assert_eq!(
        line.map(|span| span.kind),
        [SERVER, CONSUMER, CONSUMER, CONSUMER, CLIENT]
    );
    let mut audited: Vec<&str> = (named(spans, "audit").iter())
        .map(|span| span.parent.as_str())
        .collect();
    audited.sort_unstable();
    let mut before = [line[2].id.as_str(), line[3].id.as_str()];
    before.sort_unstable();
    assert_eq!(audited, before);
    for span in spans {
        assert!(span.nanos.0 > 0 && span.nanos.0 <= span.nanos.1, "{span:?}");
        assert_eq!(span.failed, None, "{span:?}");
        assert!(span.together <= 2, "traces.batch_spans");
        assert_eq!(span.source["service.name"], "tsms");
        assert_eq!(span.source["service.version"], env!("CARGO_PKG_VERSION"));
        let role = "ingress,validation,processing,forwarding,audit,notification";
        assert_eq!(span.source["tsms.role"], role);
        assert!(!span.source["service.instance.id"].is_empty());
    }
    let [request, validation, _, _, call] = line;
    assert_eq!(request.facts["http.response.status_code"], "202");
    assert_eq!(request.facts["tsms.request_id"], "till-7.1");
    assert_eq!(validation.facts["tsms.outcome"], "done");
    assert!(validation.facts.contains_key("tsms.queue.wait_ms"));
    assert_eq!(call.facts["tsms.sink"], "webapp");
    assert_eq!(call.facts["http.response.status_code"], "200");
    // The web application is told the step of the call.
    let heard = world.sink.heard();
    let told = heard[0].traceparent.as_deref().unwrap();
    assert_eq!(parts(told), (trace, call.id.clone()));
    world.stop().await;
}

async fn a_batch_carries_the_traces_of_its_sales(tier: Tier) {
    let mut collector = Collector::start(Manner::RefusesOne).await;
    let world = unswept(tier, &collector).await;
    let refused = lost("collector_refused");
    let bodies = [
        (batch(world.till(), Version::V21, 5, 1), SENT),
        (sale(world.till(), Version::V21, 2), OTHER),
    ];
    for (body, trace) in bodies {
        assert_eq!(post(&world, world.till(), body, Some(trace)).await.status, 202);
    }
    world.drain().await;
    let traces = [SENT, OTHER].map(|sent| parts(sent).0);
    let of = |spans: &[Told], name: &str, trace: &str| {
        let of = named(spans, name).into_iter().filter(|span| span.trace == *trace);
        of.cloned().collect::<Vec<Told>>()
    };
    // However many sales a request brings: one step a set.
    let processed = |spans: &[Told], trace: &str| {
        let steps = of(spans, "processing", trace);
        let jobs = steps
            .iter()
            .map(|span| span.facts["messaging.batch.message_count"].parse::<usize>());
        jobs.sum::<Result<usize, _>>().unwrap()
    };
    let spans = collector
        .until(|spans| {
            let jobs = traces.each_ref().map(|trace| processed(spans, trace));
            jobs == [5, 1] && traces.iter().all(|trace| !of(spans, "POST", trace).is_empty())
        })
        .await;
    for trace in &traces {
        for call in of(spans, "POST", trace) {
            // Either it is what the web application was told, or it points to that.
            let told = (world.sink.heard().iter()).any(|heard| {
                parts(heard.traceparent.as_ref().unwrap()) == (call.trace.clone(), call.id.clone())
            });
            let linked = call.links.iter().any(|link| {
                spans
                    .iter()
                    .any(|span| (&span.trace, &span.id) == (&link.0, &link.1))
            });
            assert!(told != linked, "{call:?}");
        }
    }
    world.stop().await;
    assert!(lost("collector_refused") > refused);
}

async fn the_ratio_decides_for_requests_without_a_trace(tier: Tier) {
    let mut every = Collector::start(Manner::Takes).await;
    let world = World::start_with(tier, &every.settings("sample_per_million = 1000000")).await;
    let body = sale(world.till(), Version::V21, 1);
    assert_eq!(post(&world, world.till(), body, None).await.status, 202);
    world.drain().await;
    let spans = every.until(|spans| !named(spans, "POST").is_empty()).await;
    let request = named(spans, SUBMIT)[0];
    assert_eq!(request.parent, "", "the first step of its trace");
    assert!(spans.iter().all(|span| span.trace == request.trace));
    world.stop().await;

    let mut none = Collector::start(Manner::Takes).await;
    let world = World::start_with(tier, &none.settings("sample_per_million = 0")).await;
    let unsampled = SENT.replace("-01", "-00");
    for (seed, sent) in [None, Some(unsampled.as_str()), Some(OTHER)]
        .into_iter()
        .enumerate()
    {
        let body = sale(world.till(), Version::V21, u64::try_from(seed).unwrap());
        assert_eq!(post(&world, world.till(), body, sent).await.status, 202);
    }
    // What a process has when it stops is sent before it ends.
    world.stop().await;
    let spans = none.all();
    assert!(!named(spans, "POST").is_empty(), "{spans:#?}");
    let other = parts(OTHER).0;
    assert!(spans.iter().all(|span| span.trace == other), "{spans:#?}");

    let mut off = Collector::start(Manner::Takes).await;
    let settings = off.settings("sample_per_million = 1000000").replace(&off.url, "");
    let world = World::start_with(tier, &settings).await;
    let body = sale(world.till(), Version::V21, 1);
    assert_eq!(post(&world, world.till(), body, Some(SENT)).await.status, 202);
    world.drain().await;
    let heard = world.sink.heard();
    let (trace, step) = parts(heard[0].traceparent.as_deref().unwrap());
    assert!(
        trace == parts(SENT).0 && step != parts(SENT).1,
        "a trace is passed on all the same"
    );
    world.stop().await;
    assert!(off.all().is_empty());
}

/// Posts so many sales, each traced.
async fn traced_sales(world: &World, count: u64) {
    for seed in 0..count {
        let body = sale(world.till(), Version::V21, seed);
        assert_eq!(post(world, world.till(), body, None).await.status, 202);
    }
    world.drain().await;
    assert_eq!(world.sink.summary().distinct, count);
}

async fn a_collector_that_hangs_holds_up_nothing(tier: Tier) {
    let collector = Collector::start(Manner::Hangs).await;
    let settings = format!(
        "sample_per_million = 1000000\nqueue_spans = 8\nbatch_spans = 4\nflush_ms = 200\ntimeout_ms = {}",
        PATIENT.as_millis()
    );
    let world = World::start_with(tier, &collector.settings(&settings)).await;
    let (full, stopped) = (lost("queue_full"), lost("shutdown"));
    traced_sales(&world, 20).await;
    assert!(lost("queue_full") > full);
    world.stop().await;
    assert!(lost("shutdown") > stopped, "the last POST was given up");
}

async fn a_collector_that_refuses_costs_spans_alone(tier: Tier) {
    let collector = Collector::start(Manner::Unavailable).await;
    let world = World::start_with(tier, &collector.settings("sample_per_million = 1000000")).await;
    let failed = lost("export_failed");
    traced_sales(&world, 5).await;
    world.stop().await;
    assert!(lost("export_failed") > failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_process_tells_its_part_and_names_the_trace_in_its_log() {
    let mut collector = Collector::start(Manner::Takes).await;
    // Nothing is sent before the processes are told to stop.
    let settings = collector
        .settings("sample_per_million = 0")
        .replace("interval_ms = 20", "interval_ms = 600000");
    let log = "[log]\nlevel = \"info,tsms::runner=debug\"\nformat = \"json\"\n";
    let mut fleet = Processes::start_with(&[], &format!("{settings}{log}")).await;
    let till = &fleet.tills[0];
    let request = reqwest::Client::new()
        .post(format!("{}/api/v1/transactions/official", fleet.base()))
        .bearer_auth(&till.token)
        .header("content-type", "application/json")
        .header("traceparent", SENT)
        .body(sale(till, Version::V21, 1).body);
    assert_eq!(Answer::of(request).await.status, 202);
    let seen = fleet.sink.wait_until(|seen| seen.distinct == 1, DEADLINE).await;
    seen.unwrap();
    fleet.drain().await;
    assert!(collector.all().is_empty());
    let (trace, till) = parts(SENT);
    for (name, process) in &mut fleet.running {
        assert_eq!(process.guarded.terminate(), 0, "{name}");
        let said = process.guarded.said();
        let named = said.lines().any(|line| line.contains(&trace));
        let works = !["scheduler.1", "notification.1"].contains(&name.as_str());
        assert_eq!(named, works, "{name}: {said}");
    }
    let spans = collector.all();
    assert!(spans.iter().all(|span| span.trace == trace), "{spans:#?}");
    for role in ["ingress", "validation", "processing", "forwarding", "audit"] {
        assert!(
            spans.iter().any(|span| span.source["tsms.role"] == role),
            "{role}: {spans:#?}"
        );
    }
    // From the call that the web application was told of, up to the till.
    let told = fleet.sink.heard()[0].traceparent.clone().unwrap();
    let (mut step, mut way) = (parts(&told).1, Vec::new());
    while step != till {
        let span = spans.iter().find(|span| span.id == step);
        let span = span.unwrap_or_else(|| panic!("{step} is missing: {spans:#?}"));
        way.push(span.name.as_str());
        step.clone_from(&span.parent);
    }
    // The sweeper of a slow machine may have made a job again, which stands below the request.
    assert_eq!(
        (way[0], way[1], way[way.len() - 1]),
        ("POST", "forwarding", SUBMIT)
    );
}
