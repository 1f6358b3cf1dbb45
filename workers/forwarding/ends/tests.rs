use std::sync::OnceLock;

use super::{
    super::{
        super::outbound::Body,
        answer::{Health, Reply, judge},
        batches::{self, Parcel},
        tried::Tried,
    },
    *,
};
use crate::domain::{
    forward::Item,
    sale::{Adjustments, Sale, Taxes, Transaction, ValidationStatus},
};

const SCHEDULE: Schedule = Schedule {
    min: Duration::from_secs(1),
    max: Duration::from_secs(60),
    max_attempts: 5,
};
const NOW: Timestamp = Timestamp::from_micros(0);

fn parcel(id: i64, tenant_id: i64, terminal_id: i64, seconds: i64) -> Parcel {
    let time = Timestamp::from_micros(seconds * 1_000_000);
    let row = Transaction {
        id,
        tenant_id,
        terminal_id,
        submission_id: 1,
        submission_uuid: Uuid::from_u128(1),
        sale: Sale {
            transaction_id: Uuid::from_u128(u128::try_from(id).unwrap()),
            hardware_id: None,
            transaction_timestamp: time,
            base_amount: None,
            gross_sales: None,
            net_sales: None,
            adjustments: Adjustments::default(),
            taxes: Taxes::default(),
            promo_status: None,
            customer_code: None,
            receipt_no: None,
            payload_checksum: [0; 32],
            remarks: Vec::new(),
        },
        status: ValidationStatus::Valid,
        findings: Vec::new(),
        created_at: time,
        decided_at: Some(time),
        voided_at: None,
        void_reason: None,
    };
    Parcel {
        item: Item::new(&row, None).unwrap(),
        claimed: ForwardItem {
            row,
            attempt: 1,
            created_at: time,
            reversals: None,
        },
    }
}

fn ids(batch: &Batch) -> Vec<i64> {
    batch.parcels.iter().map(|parcel| parcel.item.id()).collect()
}

#[test]
fn batches_keep_tenants_apart_and_terminals_in_order_of_sale() {
    let parcels = vec![
        parcel(1, 2, 5, 30),
        parcel(2, 1, 7, 20),
        parcel(3, 2, 5, 10),
        parcel(4, 2, 4, 40),
        parcel(5, 2, 5, 20),
    ];
    let batches = batches::build(parcels, |_| 3);
    let shape: Vec<_> = batches
        .iter()
        .map(|batch| (batch.tenant_id, ids(batch)))
        .collect();
    assert_eq!(shape, [(1, vec![2]), (2, vec![4, 3, 5]), (2, vec![1])]);
}

#[test]
fn halving_ends_at_single_sales_and_loses_none() {
    let mut open = batches::build((1..=50).map(|id| parcel(id, 1, 1, id)).collect(), |_| 50);
    let (mut singles, mut posts) = (Vec::new(), 0);
    while let Some(part) = open.pop() {
        posts += 1;
        if part.parcels.len() == 1 {
            singles.extend(ids(&part));
        } else {
            let (first, second) = part.halves();
            assert!(first.parcels.len() - second.parcels.len() <= 1);
            open.extend([second, first]);
        }
    }
    assert_eq!(singles, (1..=50).collect::<Vec<_>>());
    assert_eq!(posts, 99);
}

fn judged(status: u16, body: &str) -> Attempt {
    let reply = Reply {
        status,
        retry_after: None,
        body: Body {
            bytes: body.as_bytes().to_vec(),
            cut: false,
        },
    };
    let tried = Tried {
        sink: "webapp".to_owned(),
        batch_id: "TSMS_1".to_owned(),
        sales: 1,
        sent_at: NOW,
        took: Duration::from_millis(7),
        answer: Some((status, body.as_bytes().to_vec())),
        request: "{}".into(),
        digests: OnceLock::new(),
    };
    Attempt::Judged {
        ruling: judge(&reply, jiff::Timestamp::UNIX_EPOCH, Duration::ZERO),
        tried: Arc::new(tried),
    }
}

fn ends(attempt: Attempt, parcels: Vec<Parcel>) -> Vec<(i64, End)> {
    let batch = Batch {
        tenant_id: 1,
        parcels,
    };
    of(batch, attempt)
        .into_iter()
        .map(|ended| (ended.claimed.row.id, ended.end))
        .collect()
}

#[test]
fn each_sale_gets_its_own_result_where_results_are_named() {
    let body =
        r#"{"results":[{"tsms_id":1,"status":"accepted"},{"tsms_id":2,"status":"rejected","code":"x"}]}"#;
    let parcels = (1..=3).map(|id| parcel(id, 1, 1, id)).collect();
    let ended = ends(judged(200, body), parcels);
    assert!(matches!(ended[0], (1, End::Forwarded { .. })));
    assert!(
        matches!(&ended[1], (2, End::Dead { code: "webapp_rejected", detail }) if detail == "x"),
        "{ended:?}"
    );
    assert!(matches!(
        ended[2],
        (
            3,
            End::Later {
                code: "webapp_retry",
                after: None
            }
        )
    ));
}

#[test]
fn a_transaction_id_that_two_terminals_use_names_neither() {
    let (mut one, mut two) = (parcel(1, 1, 1, 1), parcel(2, 1, 2, 2));
    one.claimed.row.sale.transaction_id = Uuid::from_u128(9);
    two.claimed.row.sale.transaction_id = Uuid::from_u128(9);
    let body =
        r#"{"results":[{"transaction_id":"00000000-0000-0000-0000-000000000009","status":"accepted"}]}"#;
    for (_, end) in ends(judged(200, body), vec![one, two]) {
        assert!(matches!(end, End::Later { .. }), "{end:?}");
    }
}

#[test]
fn what_was_not_sent_burns_no_attempt() {
    let open = Duration::from_secs(10);
    for (end, code) in [
        (End::Held { open }, "breaker_open"),
        (End::NotReached, "not_reached"),
    ] {
        // Even the last attempt.
        let (settled, verdict) = end.settle(1, 5, 0, NOW, &SCHEDULE);
        assert!(
            matches!(settled, Settled::Retry { counts: false, .. }),
            "{settled:?}"
        );
        assert!(
            matches!(verdict, Verdict::Retry { code: c, .. } if c == code),
            "{verdict:?}"
        );
    }
}

#[test]
fn an_open_breaker_holds_sales_longer_each_time_within_a_bound() {
    let open = Duration::from_secs(10);
    for (returns, longest) in [(0, 20), (1, 40), (4, 320), (400, 320)] {
        let (_, verdict) = End::Held { open }.settle(1, 1, returns, NOW, &SCHEDULE);
        let Verdict::Retry { after, .. } = verdict else {
            panic!("{verdict:?}");
        };
        assert!(
            after >= open && after <= Duration::from_secs(longest),
            "{after:?}"
        );
    }
}

#[test]
fn the_due_time_in_the_record_is_the_delay_of_the_job() {
    let later = End::Later {
        code: "http_429",
        after: Some(Duration::from_secs(90)),
    };
    let (settled, verdict) = later.settle(1, 1, 0, NOW, &SCHEDULE);
    let (Settled::Retry { due_at, counts, .. }, Verdict::Retry { after, .. }) = (settled, verdict) else {
        panic!("not a retry");
    };
    assert!(counts);
    assert_eq!(due_at, NOW.plus(after));
    assert_eq!(after, Duration::from_secs(90));
}

#[test]
fn attempts_end_in_a_dead_letter_that_tells_the_last_reason() {
    let later = End::Later {
        code: "http_5xx",
        after: None,
    };
    let (settled, verdict) = later.settle(1, 5, 0, NOW, &SCHEDULE);
    assert_eq!(
        verdict,
        Verdict::Dead {
            code: "attempts_exhausted"
        }
    );
    assert!(matches!(&settled, Settled::Dead { detail, .. } if detail.contains("http_5xx")));
    assert_eq!(state(&settled), Some(ForwardState::Dead));
}

#[test]
fn a_sale_that_is_refused_alone_is_dead() {
    let ended = ends(judged(422, "no"), vec![parcel(1, 1, 1, 1)]);
    assert!(matches!(
        &ended[0],
        (1, End::Dead { code: "webapp_refused", detail }) if detail == "HTTP 422: no"
    ));
    let Attempt::Judged { ruling, .. } = judged(422, "no") else {
        panic!("judged");
    };
    assert_eq!(ruling.health(), Health::Well);
}
