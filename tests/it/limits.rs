//! Rate limits through the real router: never more than the quota in any window, whatever happens to
//! Redis, with one ingress and with several.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use tsms::{
    config::Config,
    domain::{
        orders::{OrderKind, Subject},
        time::Timestamp,
    },
    limits::{Bucket, Limiter},
    store::NewOrder,
};

use crate::{
    servers::Redis,
    world::{Answer, DEADLINE, Tier, World},
};

const QUOTA: usize = 20;
const PERIOD: Duration = Duration::from_millis(700);
const CLIENTS: usize = 64;

fn settings() -> String {
    let period = PERIOD.as_millis();
    format!("[limits.terminal]\nquota = {QUOTA}\nperiod_ms = {period}\n")
}

/// A request that was let in: it was decided between the two.
#[derive(Clone, Copy, Debug)]
struct LetIn {
    sent: Instant,
    answered: Instant,
}

/// Most requests that were certainly let in within one window of a period.
fn most_in_a_window(let_in: &[LetIn]) -> usize {
    let within = |first: &LetIn| {
        let inside = |other: &&LetIn| other.sent >= first.sent && other.answered < first.sent + PERIOD;
        let_in.iter().filter(inside).count()
    };
    let_in.iter().map(within).max().unwrap_or(0)
}

/// How many were let in so far, for whoever waits for more.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits until two more quotas were let in, which takes more than one window.
    async fn two_quotas_more(&self) {
        let wanted = self.now() + 2 * QUOTA;
        let wait = async {
            let mut turn = tokio::time::interval(Duration::from_millis(5));
            while self.now() < wanted {
                turn.tick().await;
            }
        };
        tokio::time::timeout(DEADLINE, wait)
            .await
            .expect("every window lets some in");
    }
}

/// Has the clients ask again and again until `enough`.
async fn ask_until<F>(
    count: Count,
    enough: impl Fn() -> bool + Clone + Send + 'static,
    ask_once: impl Fn() -> F + Clone + Send + 'static,
) -> Vec<LetIn>
where
    F: Future<Output = bool> + Send,
{
    let clients = (0..CLIENTS).map(|_| {
        let (count, enough, ask_once) = (count.clone(), enough.clone(), ask_once.clone());
        tokio::spawn(async move {
            let mut let_in = Vec::new();
            while !enough() {
                let sent = Instant::now();
                if ask_once().await {
                    let answered = Instant::now();
                    count.0.fetch_add(1, Ordering::Relaxed);
                    let_in.push(LetIn { sent, answered });
                }
            }
            let_in
        })
    });
    let asked = tokio::time::timeout(DEADLINE, futures::future::join_all(clients)).await;
    let let_in = asked.expect("every window lets some in");
    let_in.into_iter().flat_map(Result::unwrap).collect()
}

/// Has the clients ask until so many were let in.
async fn ask<F>(wanted: usize, ask_once: impl Fn() -> F + Clone + Send + 'static) -> Vec<LetIn>
where
    F: Future<Output = bool> + Send,
{
    let count = Count::default();
    let so_far = count.clone();
    ask_until(count, move || so_far.now() >= wanted, ask_once).await
}

/// One request of the first till to the router; whether it was let in.
fn look(world: &World) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = bool> + Send>> + Clone + use<> {
    let (http, token) = (world.http.clone(), world.till().token.clone());
    let url = format!(
        "{}/api/v1/submissions/00000000-0000-4000-8000-000000000000",
        world.base
    );
    move || {
        let request = http.get(&url).bearer_auth(&token);
        Box::pin(async move {
            let answer = request.send().await.unwrap();
            match answer.status().as_u16() {
                404 => true,
                429 => {
                    assert!(answer.headers().contains_key("retry-after"));
                    false
                }
                other => panic!("an answer of {other}"),
            }
        })
    }
}

/// Whether the till's log is in Redis now.
fn is_kept_in_redis(world: &World) -> bool {
    let till = world.till();
    let key = format!(
        "tsms:{{rate_limit}}:terminal:{}:{}",
        till.tenant_id, till.terminal_id
    );
    world.redis.as_ref().unwrap().command(&format!("EXISTS {key}")) == ":1"
}

async fn sixty_four_clients_get_the_quota_and_no_more(world: World) {
    let let_in = ask(QUOTA * 4, look(&world)).await;
    assert_eq!(most_in_a_window(&let_in), QUOTA);
    world.end().await;
}

mod embedded {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sixty_four_clients_get_the_quota_and_no_more() {
        let world = World::start_with(Tier::Embedded, &settings()).await;
        super::sixty_four_clients_get_the_quota_and_no_more(world).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_order_blocks_and_allows() {
        super::an_order_blocks_and_allows(World::start_with(Tier::Embedded, &settings()).await).await;
    }
}

mod fleet {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sixty_four_clients_get_the_quota_and_no_more() {
        let world = World::start_with(Tier::Fleet, &settings()).await;
        super::sixty_four_clients_get_the_quota_and_no_more(world).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_order_blocks_and_allows() {
        super::an_order_blocks_and_allows(World::start_with(Tier::Fleet, &settings()).await).await;
    }
}

/// What happens to Redis while 64 clients ask. Before it and after it limits are decided there.
async fn redis_comes_and_goes(happen: impl AsyncFnOnce(&mut World, &Count)) {
    let mut world = World::start_with(Tier::Fleet, &settings()).await;
    let (count, done) = (Count::default(), CancellationToken::new());
    let (counted, enough) = (count.clone(), done.clone());
    let asking = tokio::spawn(ask_until(counted, move || enough.is_cancelled(), look(&world)));
    until_kept_in_redis(&world).await;
    happen(&mut world, &count).await;
    count.two_quotas_more().await;
    until_kept_in_redis(&world).await;
    count.two_quotas_more().await;
    done.cancel();
    let let_in = asking.await.unwrap();
    let most = most_in_a_window(&let_in);
    assert!(most <= QUOTA, "{most} in a window");
    world.end().await;
}

async fn until_kept_in_redis(world: &World) {
    let wait = async {
        let mut turn = tokio::time::interval(Duration::from_millis(5));
        while !is_kept_in_redis(world) {
            turn.tick().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("Redis is used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_than_the_quota_while_redis_is_killed_and_comes_back() {
    redis_comes_and_goes(async |world, count| {
        world.redis.as_mut().unwrap().kill9();
        count.two_quotas_more().await;
        world.redis.as_mut().unwrap().restart();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_than_the_quota_while_redis_hangs() {
    redis_comes_and_goes(async |world, count| {
        world.redis.as_ref().unwrap().freeze();
        count.two_quotas_more().await;
        world.redis.as_ref().unwrap().thaw();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_than_the_quota_when_redis_loses_everything() {
    redis_comes_and_goes(async |world, _| world.redis.as_ref().unwrap().flush_all()).await;
}

/// An operator's orders reach the ingress, keep a till out or let it through, and end; whom they
/// refused is in the record.
async fn an_order_blocks_and_allows(world: World) {
    let (till, path) = (
        world.till().clone(),
        "/api/v1/submissions/00000000-0000-4000-8000-000000000000",
    );
    let order = async |kind| {
        let order = NewOrder {
            kind,
            subject: Subject::Terminal(till.terminal_id),
            owner: "test".to_owned(),
            reason: "test".to_owned(),
            ends_at: Timestamp::now().plus(DEADLINE),
        };
        world.store.give_order(&order).await.unwrap()
    };
    let until = async |wanted: &dyn Fn(&Answer) -> bool| {
        let wait = async {
            loop {
                let answer = world.get(&till, path).await;
                if wanted(&answer) {
                    return answer;
                }
            }
        };
        tokio::time::timeout(DEADLINE, wait)
            .await
            .expect("the order is known")
    };
    let is = |answer: &Answer, code: &str| answer.code() == code;
    // Whether the till's own bucket had a say.
    let counted = |answer: &Answer| {
        let standing = answer
            .headers
            .get("ratelimit")
            .map(|value| value.to_str().unwrap());
        standing.is_some_and(|standing| standing.contains("\"terminal\""))
    };
    // Asked again and again, the till uses up its quota.
    until(&|answer| is(answer, "rate_limited")).await;
    let allowed = order(OrderKind::Allow).await;
    until(&|answer| is(answer, "not_found") && !counted(answer)).await;
    for _ in 0..QUOTA * 2 {
        let answer = world.get(&till, path).await;
        assert!(is(&answer, "not_found") && !counted(&answer), "{answer:?}");
    }
    let blocked = order(OrderKind::Block).await;
    let answer = until(&|answer| is(answer, "blocked")).await;
    assert_eq!(answer.status.as_u16(), 429);
    assert!(answer.headers.contains_key("retry-after"));
    world.store.lift_order(blocked, Timestamp::now()).await.unwrap();
    world.store.lift_order(allowed, Timestamp::now()).await.unwrap();
    until(&|answer| is(answer, "not_found") && counted(answer)).await;

    let refused = async {
        loop {
            let since = Timestamp::now().minus(Duration::from_secs(3600));
            let top = world.store.top_refused(since, 10).await.unwrap();
            let its = |one: &&tsms::store::Refused| one.identifier == till.terminal_id.to_string();
            if let Some(one) = top.iter().find(its) {
                return (one.class.clone(), one.tenant_id);
            }
            tokio::task::yield_now().await;
        }
    };
    let refused = tokio::time::timeout(DEADLINE, refused)
        .await
        .expect("it is counted");
    assert_eq!(refused, ("terminal".to_owned(), till.tenant_id));
    world.end().await;
}

/// The limiters of several ingresses at one Redis.
fn limiters(redis: &Redis, count: usize, stop: &CancellationToken) -> Vec<Limiter> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tsms.toml");
    // One that takes a busy machine for an absent Redis is alone beside the others, which is another case.
    let patient = "[limits]\nredis_timeout_ms = 10000";
    let text = format!("[queue]\nurl = \"{}\"\n{patient}\n{}", redis.url(), settings());
    std::fs::write(&file, text).unwrap();
    let config = Config::load(Some(&file)).unwrap();
    let start = |_| {
        let limiter = Limiter::start(&config.limits, &config.queue, stop).unwrap();
        limiter.processes(u32::try_from(count).unwrap());
        limiter
    };
    (0..count).map(start).collect()
}

fn one_of(
    limiters: &[Limiter],
) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = bool> + Send>> + Clone + use<> {
    let limiters: Arc<[Limiter]> = limiters.into();
    let turn = Arc::new(AtomicUsize::new(0));
    move || {
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        let limiter = limiters[turn % limiters.len()].clone();
        Box::pin(async move {
            let buckets = [Bucket::terminal(1, 7), Bucket::tenant(1), Bucket::global()];
            let admitted = limiter.check(&buckets).await.admitted();
            // A refusal is an answer of a few microseconds: let the others ask too.
            tokio::task::yield_now().await;
            admitted
        })
    }
}

/// Three ingresses share the quota through Redis; alone each has a third of it. At the change from
/// the one to the other a window may hold both: the quota and the shares of the other two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_ingresses_share_the_quota() {
    let mut redis = Redis::start();
    let stop = CancellationToken::new();
    let limiters = limiters(&redis, 3, &stop);
    for limiter in &limiters {
        tokio::time::timeout(DEADLINE, limiter.together()).await.unwrap();
    }
    let shared = ask(QUOTA * 4, one_of(&limiters)).await;
    assert_eq!(most_in_a_window(&shared), QUOTA);

    redis.kill9();
    // Each finds out with its next request.
    let change = ask(QUOTA * 3, one_of(&limiters)).await;
    let share = QUOTA / 3;
    let at_the_change = [shared, change.clone()].concat();
    assert!(most_in_a_window(&at_the_change) <= QUOTA + 2 * share);
    let alone = ask(QUOTA * 3, one_of(&limiters)).await;
    assert!(
        most_in_a_window(&alone) <= 3 * share,
        "{}",
        most_in_a_window(&alone)
    );

    let asking = tokio::spawn(ask(QUOTA * 8, one_of(&limiters)));
    redis.restart();
    for limiter in &limiters {
        tokio::time::timeout(DEADLINE, limiter.together()).await.unwrap();
    }
    let back = asking.await.unwrap();
    let most = most_in_a_window(&[alone, back].concat());
    assert!(most <= QUOTA, "{most} at the return");
    stop.cancel();
}
