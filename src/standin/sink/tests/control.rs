//! Control totals over HTTP: what is documented is what is answered.

use super::{
    contract::{post_envelope, row},
    *,
};
use crate::domain::{
    forward::{Envelope, Item},
    money::Money,
    reversal::{Reversal, ReversalKind},
    sale::ForwardState,
    time::Timestamp,
};

/// The three sales of the example.
fn example() -> Envelope {
    let worth = |id, centavos, voided| {
        let mut row = row(id, 4, voided);
        row.sale.base_amount = Some(Money::from_minor(centavos));
        row
    };
    let refunded = worth(50130, 50_050, false);
    let refund = Reversal {
        id: 50131,
        tenant_id: 125,
        terminal_id: 4,
        transaction_id: refunded.sale.transaction_id,
        sale_id: Some(50130),
        kind: ReversalKind::Refund,
        reference: "R-1".to_owned(),
        amount: Money::from_minor(10_000),
        reason: "broken".to_owned(),
        content: [0; 32],
        made_at: refunded.created_at,
        state: ForwardState::Pending,
        attempts: 0,
        settled_at: None,
    };
    let items = [
        Item::new(&worth(50118, 100_000, false), None).unwrap(),
        Item::new(&worth(50121, 11_200, true), None).unwrap(),
        Item::reversed(&refunded, None, &[refund]).unwrap(),
    ];
    let items: Vec<&Item> = items.iter().collect();
    Envelope::new(125, &items, &[], Timestamp::now())
}

async fn ask(server: &Server, body: &str) -> (StatusCode, Value) {
    let answer = server
        .client
        .post(format!("{}{CONTROL_PATH}", server.url))
        .header("content-type", "application/json")
        .body(body.to_owned())
        .send()
        .await
        .unwrap();
    let status = answer.status();
    (status, answer.json().await.unwrap())
}

#[tokio::test]
async fn the_documented_totals_are_answered_as_documented() {
    let page = include_str!("../../../../docs/webapp-contract.md");
    let (_, section) = page.split_once("## Reconciliation").unwrap();
    let mut blocks = section
        .split("```json\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let (request, answer, items) = (
        blocks.next().unwrap(),
        blocks.next().unwrap(),
        blocks.next().unwrap(),
    );
    let server = Server::with_mode("ok").await;
    assert_eq!(
        post_envelope(&server, example()).await,
        200,
        "{}",
        server.sink.summary()
    );
    let (status, given) = ask(&server, request).await;
    assert_eq!(status, StatusCode::OK, "{given}");
    assert_eq!(given, serde_json::from_str::<Value>(answer).unwrap());

    let list = request.replace(r#""list": 0"#, r#""list": 500"#);
    let (_, given) = ask(&server, &list).await;
    let documented: Value = serde_json::from_str(&format!("{{{items}}}")).unwrap();
    assert_eq!(given["ranges"][0]["items"], documented["items"]);
    // A short list leaves the totals whole.
    let short = request.replace(r#""list": 0"#, r#""list": 1"#);
    let (_, given) = ask(&server, &short).await;
    assert_eq!(given["ranges"][0]["items"].as_array().unwrap().len(), 1);
    assert_eq!(given["ranges"][0]["count"], 2);

    // Another tenant, another day, another form.
    let (_, given) = ask(&server, &request.replace("125", "126")).await;
    assert_eq!(given["ranges"][0]["count"], 0);
    let (_, given) = ask(&server, &request.replace("2026-11-19T16", "2026-11-20T15")).await;
    assert_eq!(given["ranges"][0]["count"], 0);
    for wrong in [
        request.replace(r#""2.0""#, r#""3.0""#),
        request.replace("000Z", "Z"),
        request.replace(
            r#"{"after": 0, "up_to": 50121}, {"after": 50121, "up_to": 9007199254740992}"#,
            "",
        ),
    ] {
        assert_eq!(ask(&server, &wrong).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    }
}

#[tokio::test]
async fn a_sale_can_be_lost() {
    let server = Server::with_mode("ok").await;
    server.post(&three()).await;
    let lose = async |id: i64| {
        let url = format!("{}/_control/entries/{id}", server.url);
        server.client.delete(url).send().await.unwrap().status()
    };
    assert_eq!(lose(2).await, StatusCode::NO_CONTENT);
    assert_eq!(lose(2).await, StatusCode::NOT_FOUND);
    let summary = server.sink.summary();
    assert_eq!(
        (summary.distinct, summary.amount.to_string()),
        (2, "10.07".to_owned())
    );
    // It may come again, under the same id.
    assert_eq!(
        server.statuses(&batch_of(&[item(2, "20.50")])).await,
        ["accepted"]
    );
    assert_eq!(server.sink.summary().net.to_string(), "30.57");
}
