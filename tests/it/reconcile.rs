//! Reconciliation: the record against what the web application holds, in order and out of order.

use std::{num::NonZeroU64, process::Command, time::Duration};

use serde_json::{Value, json};
use tsms::{
    config::{Config, Secret},
    domain::{checksum::Version, day::Day, money::Money, sink::Change, time::Timestamp},
    sinks::{self, Wish},
    standin::{
        sim::{Kind, SimTerminal, make_sale},
        sink::{
            BULK_PATH, CONTROL_PATH, Entry,
            mode::{Answer as SinkAnswer, Denial, Mode},
        },
    },
    workers::reconcile::{self, Kind as Difference, Report, Wanted},
};
use uuid::Uuid;

use crate::{
    on_both_tiers,
    world::{DEADLINE, SINK_SECRET, SINK_TOKEN, World, start_sink},
};

on_both_tiers!(
    sides_in_order_are_equal,
    what_was_lost_is_found_and_brought_back,
    a_sale_under_way_is_no_difference,
    what_was_given_up_is_told_until_it_is_discarded,
    another_program_adds_up_the_same,
    a_sink_of_its_own_is_asked_about_its_tenant,
);

const ZONE: &str = "Asia/Manila";

/// Yesterday by the date in UTC: past in every time zone of the tills.
fn yesterday() -> Day {
    let text = Timestamp::now().minus(Duration::from_secs(86_400)).to_rfc3339(0);
    text.split('T').next().unwrap().parse().unwrap()
}

impl World {
    /// Sells `items` sales of noon yesterday; gives their ids.
    async fn sell_yesterday(&self, till: &SimTerminal, items: usize, seed: u64) -> Vec<Uuid> {
        let noon = yesterday()
            .bounds(ZONE)
            .unwrap()
            .0
            .plus(Duration::from_secs(43_200));
        let kind = Kind {
            version: Version::V21,
            items,
            flawed: false,
        };
        let body = make_sale(till, kind, seed, noon).unwrap();
        assert_eq!(self.post(till, body.body).await.status, 202);
        body.sales.iter().map(|sale| sale.transaction_id).collect()
    }

    async fn reconcile(&self) -> Report {
        // Small bounds, so that a few sales have the search cut ranges and turn pages.
        let mut config = Config::clone(&self.config);
        config.reconcile.page = 7;
        config.reconcile.fan_out = 3;
        config.reconcile.leaf = 2;
        let wanted = Wanted {
            sink: "webapp",
            day: yesterday(),
            tenant_id: None,
        };
        reconcile::run(&self.store, &config, wanted).await.unwrap()
    }

    fn entry(&self, id: Uuid) -> Entry {
        let entries = self.sink.entries();
        entries
            .into_iter()
            .find(|entry| entry.transaction_id == id)
            .unwrap()
    }

    fn tamper(&self, id: Uuid, change: impl FnOnce(Entry) -> Option<Entry>) -> i64 {
        let entry = self.entry(id);
        assert!(self.sink.tamper(entry.tsms_id, change));
        entry.tsms_id
    }

    /// Runs the command line on this system; gives its exit code and what it said.
    pub(crate) async fn operator(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tsms"));
        command
            .env_clear()
            .arg("--config")
            .arg(self.config_file())
            .args(args);
        let ended = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        (ended.status.code(), String::from_utf8(said).unwrap())
    }

    /// Sales of both tenants with a void and a refund, all of them delivered.
    async fn a_day(&self) -> Vec<Uuid> {
        let mut sales = self.sell_yesterday(self.till(), 40, 1).await;
        self.sell_yesterday(&self.tills[2], 3, 2).await;
        self.drain().await;
        for id in sales.iter().take(2) {
            assert_eq!(self.void(self.till(), *id, "wrong").await.status, 200);
        }
        let refund = json!({"refund_amount": "0.01", "refund_reason": "broken", "refund_reference": "R-1"});
        let answer = self.refund(self.till(), sales[2], &refund).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.drain().await;
        sales.truncate(40);
        sales
    }
}

fn kinds(report: &Report) -> Vec<(i64, Difference)> {
    let mut kinds: Vec<_> = (report.differences.iter())
        .map(|one| (one.tsms_id, one.kind))
        .collect();
    kinds.sort_by_key(|(id, _)| *id);
    kinds
}

async fn sides_in_order_are_equal(world: World) {
    world.a_day().await;
    let report = world.reconcile().await;
    assert_eq!(kinds(&report), []);
    assert_eq!((report.tenants.len(), report.requests), (2, 2), "{report:?}");
    assert!(report.tenants.iter().all(|tenant| tenant.equal), "{report:?}");
    assert_eq!(report.tenants.iter().map(|tenant| tenant.sales).sum::<u64>(), 43);
    let day = yesterday().to_string();
    let (code, said) = world.operator(&["reconcile", "--day", &day]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 tenants, 0 differences"), "{said}");
    // Another day has nothing of it.
    let (code, said) = world
        .operator(&["reconcile", "--day", "2020-02-29", "--json"])
        .await;
    assert_eq!(code, Some(0), "{said}");
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["tenants"], 0);
    assert_eq!(
        world
            .operator(&["reconcile", "--day", &day, "--sink", "x"])
            .await
            .0,
        Some(5)
    );
    assert_eq!(
        world
            .operator(&["reconcile", "--day", &day, "--tenant", "99"])
            .await
            .0,
        Some(5)
    );
    world.stop().await;
}

/// What was done to the web application's tables by hand.
struct Damage {
    /// Sales by id, and what they are told as.
    expected: Vec<(i64, Difference)>,
    /// Cannot be mended by sending: a sale with another amount, and one that nobody sold.
    beyond: [(i64, Difference); 2],
}

fn damage(world: &World, sales: &[Uuid]) -> Damage {
    let untold = |entry| {
        Some(Entry {
            voided: false,
            refunded: Money::ZERO,
            ..entry
        })
    };
    let mut expected = vec![
        // A sale and a void sale: gone.
        (world.tamper(sales[10], |_| None), Difference::Missing),
        (world.tamper(sales[0], |_| None), Difference::Missing),
        // A void and a refund: not in effect.
        (world.tamper(sales[1], untold), Difference::Behind),
        (world.tamper(sales[2], untold), Difference::Behind),
    ];
    let dearer = world.tamper(sales[20], |entry| {
        Some(Entry {
            amount: entry.amount + Money::from_minor(1),
            ..entry
        })
    });
    // A sale became another one.
    let made_up = world.tamper(sales[30], |entry| {
        Some(Entry {
            tsms_id: entry.tsms_id + 1_000_000,
            transaction_id: Uuid::new_v4(),
            ..entry
        })
    });
    expected.push((made_up, Difference::Missing));
    let beyond = [
        (dearer, Difference::Differs),
        (made_up + 1_000_000, Difference::Extra),
    ];
    expected.extend(beyond);
    expected.sort_by_key(|(id, _)| *id);
    Damage { expected, beyond }
}

async fn what_was_lost_is_found_and_brought_back(world: World) {
    let sales = world.a_day().await;
    let before = world.sink.summary();
    let Damage { expected, beyond } = damage(&world, &sales);
    let report = world.reconcile().await;
    assert_eq!(kinds(&report), expected, "{report:?}");
    let equal: Vec<bool> = report.tenants.iter().map(|tenant| tenant.equal).collect();
    assert_eq!(equal, [false, true], "the other tenant is as it was");

    let day = yesterday().to_string();
    let repair = ["reconcile", "--day", &day, "--repair"];
    let (code, said) = world.operator(&repair).await;
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("is done: 5 letters moved, 0 kept"), "{said}");
    world.drain().await;
    assert_eq!(kinds(&world.reconcile().await), beyond);
    assert_eq!(world.held(sales[10]).map(|held| held.0), Some(false));
    assert_eq!(world.held(sales[0]).map(|held| held.0), Some(true));
    assert_eq!(world.held(sales[1]).map(|held| held.0), Some(true));
    assert_eq!(
        world.held(sales[2]).map(|held| held.1),
        Some(Money::from_minor(1))
    );
    assert_eq!(
        world.sink.summary().distinct,
        before.distinct + 1,
        "the one made up"
    );

    // A second repair finds nothing to send, whatever is wrong still.
    let received = || -> u64 { world.sink.entries().iter().map(|entry| entry.received).sum() };
    let once = received();
    let (code, said) = world.operator(&repair).await;
    assert_eq!(code, Some(6), "{said}");
    world.drain().await;
    assert_eq!(received(), once);
    let actions = world.store.list_actions(0, 1000).await.unwrap();
    assert!(
        (actions.iter())
            .any(|action| action.action == "dlq.retry" && action.detail.contains("reconciliation"))
    );

    // Everything lost at once: it is whole again, with nothing twice.
    world.sink.reset();
    let (code, said) = world.operator(&repair).await;
    assert_eq!(code, Some(6), "{said}");
    world.drain().await;
    assert_eq!(kinds(&world.reconcile().await), []);
    let after = world.sink.summary();
    assert_eq!(
        (
            after.distinct,
            after.voided,
            after.amount,
            after.net,
            after.clashes
        ),
        (before.distinct, before.voided, before.amount, before.net, 0)
    );
    world.stop().await;
}

async fn a_sale_under_way_is_no_difference(world: World) {
    world.sink.set_mode(Mode::always(SinkAnswer::Reset).applied());
    world.sell_yesterday(world.till(), 1, 1).await;
    world
        .sink
        .wait_until(|seen| seen.distinct == 1, DEADLINE)
        .await
        .unwrap();
    let report = world.reconcile().await;
    assert_eq!((kinds(&report), report.under_way), (vec![], 1), "{report:?}");
    world.sink.set_mode(Mode::OK);
    world.drain().await;
    let report = world.reconcile().await;
    assert_eq!((kinds(&report), report.under_way), (vec![], 0));
    assert!(report.tenants.iter().all(|tenant| tenant.equal));
    world.stop().await;
}

async fn what_was_given_up_is_told_until_it_is_discarded(world: World) {
    let answer = SinkAnswer::Partial {
        every: NonZeroU64::MIN,
        denial: Denial::Rejected,
    };
    world.sink.set_mode(Mode::always(answer));
    world.sell_yesterday(world.till(), 1, 1).await;
    world.drain().await;
    let report = world.reconcile().await;
    assert!(
        matches!(kinds(&report)[..], [(_, Difference::GivenUp)]),
        "{report:?}"
    );
    let day = yesterday().to_string();
    let (code, said) = world.operator(&["reconcile", "--day", &day]).await;
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("webapp_rejected"), "{said}");
    let (code, said) = world
        .operator(&["dlq", "discard", "--reason", "agreed with finance", "--yes"])
        .await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = world.operator(&["reconcile", "--day", &day]).await;
    assert_eq!(code, Some(0), "{said}");
    // A web application that does not answer is no difference either.
    world.sink.set_mode(Mode::always(SinkAnswer::Status(503)));
    let (code, said) = world.operator(&["reconcile", "--day", &day]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("503"), "{said}");
    world.stop().await;
}

async fn another_program_adds_up_the_same(world: World) {
    world.a_day().await;
    let (from, to) = yesterday().bounds(ZONE).unwrap();
    let base = world
        .config
        .forwarding
        .endpoint
        .trim_end_matches(tsms::standin::sink::BULK_PATH)
        .to_owned();
    let report = world.reconcile().await;
    for tenant in &report.tenants {
        let mut command = Command::new("python3");
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reconcile/totals.py"))
            .args(["--tenant", &tenant.tenant_id.to_string()])
            .args(["--from", &from.to_rfc3339(3), "--to", &to.to_rfc3339(3)])
            .args(["--sink", &base, "--ask", &format!("{base}{CONTROL_PATH}")])
            .args(["--token", SINK_TOKEN, "--secret", SINK_SECRET]);
        let ended = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let (out, err) = (
            String::from_utf8(ended.stdout).unwrap(),
            String::from_utf8(ended.stderr).unwrap(),
        );
        assert_eq!(ended.status.code(), Some(0), "{out}{err}");
        // What it adds up from the ledger is what the record says too.
        let totals: Value = serde_json::from_str(out.trim()).unwrap();
        assert_eq!(totals["count"], tenant.sales);
        assert_eq!(totals["amount"], tenant.amount.as_str());
        assert_eq!(totals["net"], tenant.net.as_str());
    }
    world.stop().await;
}

async fn a_sink_of_its_own_is_asked_about_its_tenant(world: World) {
    let (own, address, stop) = start_sink().await;
    let tenant = world.tills[2].tenant_id;
    let wish = Wish {
        name: "mall".to_owned(),
        tenant_id: Some(tenant),
        environment: None,
        endpoint: format!("http://{address}{BULK_PATH}"),
    };
    let change = Change {
        allow_private: Some(true),
        ..Change::default()
    };
    let token = Some(Some(Secret::new(SINK_TOKEN)));
    sinks::create(&world.store, &world.config, wish, &change, token)
        .await
        .unwrap();
    world.a_day().await;
    let day = yesterday().to_string();
    // Until a worker hears of the sink, sales may still go elsewhere: what is there decides.
    let (here, there) = (own.summary().distinct, world.sink.summary().distinct);
    assert_eq!(here + there, 43);
    let (_, said) = world
        .operator(&["reconcile", "--day", &day, "--sink", "mall", "--json"])
        .await;
    let compared: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!(compared["tenant_id"], tenant, "{said}");
    assert_eq!(compared["sales"], 3, "{said}");
    assert_eq!(compared["sink_sales"], here, "{said}");
    let (code, said) = world.operator(&["reconcile", "--day", &day, "--json"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains(&format!("\"tenant_id\":{tenant},")), "{said}");
    stop.cancel();
    world.stop().await;
}
