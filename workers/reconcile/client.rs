//! Asks a web application for control totals and lists.

use reqwest::{Url, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{super::outbound, Problem, target::Target};
use crate::{
    config::{self, SinkKeys},
    domain::{
        control::{Held, Sum, Totals},
        money::Money,
        time::Timestamp,
    },
};

/// Fraction digits of times in a request.
const MILLISECONDS: u8 = 3;

/// Ids above `after` and up to `up_to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range {
    pub(super) after: i64,
    pub(super) up_to: i64,
}

/// Which sales of a tenant are meant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    pub(super) tenant_id: i64,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

#[derive(Serialize)]
struct Asked<'a> {
    schema_version: &'static str,
    source: &'static str,
    tenant_id: i64,
    from: String,
    to: String,
    ranges: &'a [Range],
    list: usize,
}

#[derive(Deserialize)]
struct Told {
    ranges: Vec<RangeTold>,
}

#[derive(Deserialize)]
struct RangeTold {
    after: i64,
    up_to: i64,
    count: u64,
    amount: String,
    net: String,
    digest: String,
    #[serde(default)]
    items: Vec<ItemTold>,
}

#[derive(Deserialize)]
struct ItemTold {
    tsms_id: i64,
    amount: Money,
    refunded: Money,
    status: String,
}

/// What the web application says of a range.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) totals: Totals,
    /// Its sales by id, as many as were asked for and fit.
    pub(super) items: Vec<Held>,
}

/// The way to one web application.
pub(super) struct Sink {
    client: outbound::Outside,
    address: Url,
    keys: SinkKeys,
    max_answer_bytes: usize,
}

impl Sink {
    pub(super) fn new(settings: &config::Reconcile, target: &Target) -> Result<Self, Problem> {
        let endpoint = outbound::web_address(&target.endpoint).ok_or(Problem::NoAddress)?;
        let address = endpoint
            .join(&settings.address)
            .ok()
            .filter(|address| matches!(address.scheme(), "http" | "https"))
            .ok_or(Problem::NoAddress)?;
        let client = target.door.client();
        Ok(Self {
            client: client.map_err(|error| Problem::Setup(error.to_string()))?,
            address,
            keys: target.keys.clone(),
            max_answer_bytes: settings.max_answer_bytes,
        })
    }

    /// Asks about ranges of a tenant's sales; `list` sales of each are to be listed.
    pub(super) async fn ask(
        &self,
        scope: Scope,
        ranges: &[Range],
        list: usize,
    ) -> Result<Vec<Said>, Problem> {
        let asked = Asked {
            schema_version: "2.0",
            source: "TSMS",
            tenant_id: scope.tenant_id,
            from: scope.from.to_rfc3339(MILLISECONDS),
            to: scope.to.to_rfc3339(MILLISECONDS),
            ranges,
            list,
        };
        let body = serde_json::to_vec(&asked).map_err(|error| Problem::Setup(error.to_string()))?;
        let mut call = self
            .client
            .post(self.address.clone())
            .map_err(Problem::NoAnswer)?
            .header(CONTENT_TYPE, "application/json");
        if !self.keys.token.reveal().is_empty() {
            call = call.bearer_auth(self.keys.token.reveal());
        }
        if let Some(signer) = &self.keys.signer {
            // Each question is a message of its own: it is never sent again.
            let id = Uuid::now_v7().to_string();
            call = outbound::signed(call, signer.sign(&id, Timestamp::now(), &body));
        }
        let failed = |error: reqwest::Error| Problem::NoAnswer(outbound::failure(&error));
        let mut answer = call.body(body).send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        let body = outbound::body(&mut answer, self.max_answer_bytes)
            .await
            .map_err(failed)?;
        if !(200..300).contains(&status) {
            return Err(Problem::Status(status));
        }
        if body.cut {
            return Err(Problem::Answer(
                "longer than reconcile.max_answer_bytes".to_owned(),
            ));
        }
        let told: Told =
            serde_json::from_slice(&body.bytes).map_err(|error| Problem::Answer(error.to_string()))?;
        understood(ranges, told, list)
    }
}

/// The answer in the order of the question, if it is one to this question.
fn understood(ranges: &[Range], told: Told, list: usize) -> Result<Vec<Said>, Problem> {
    let odd = |what: &str| Problem::Answer(what.to_owned());
    if told.ranges.len() != ranges.len() {
        return Err(odd("it does not have the ranges that were asked for"));
    }
    let mut said = Vec::with_capacity(ranges.len());
    for (asked, told) in ranges.iter().zip(told.ranges) {
        if (told.after, told.up_to) != (asked.after, asked.up_to) {
            return Err(odd(
                "its ranges are not those that were asked for, in their order",
            ));
        }
        let sum = |text: &str| Sum::parse(text).ok_or_else(|| odd("a sum is not a text with two decimals"));
        let mut digest = [0; 32];
        let read = data_encoding::HEXLOWER.decode_mut(told.digest.as_bytes(), &mut digest);
        if told.digest.len() != 2 * digest.len() || read.is_err() {
            return Err(odd("a digest is not 64 lower-case hex digits"));
        }
        if told.items.len() > list {
            return Err(odd("it lists more sales than were asked for"));
        }
        let mut items = Vec::with_capacity(told.items.len());
        let mut last = asked.after;
        for item in told.items {
            if item.tsms_id <= last || item.tsms_id > asked.up_to {
                return Err(odd("a list is not in order of tsms_id, or leaves its range"));
            }
            last = item.tsms_id;
            let voided = match item.status.as_str() {
                "SALE" => false,
                "VOIDED" => true,
                _ => return Err(odd("the status of a sale is neither SALE nor VOIDED")),
            };
            items.push(Held {
                id: item.tsms_id,
                amount: item.amount,
                refunded: item.refunded,
                voided,
            });
        }
        said.push(Said {
            totals: Totals {
                count: told.count,
                amount: sum(&told.amount)?,
                net: sum(&told.net)?,
                digest,
            },
            items,
        });
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Range = Range { after: 0, up_to: 9 };

    fn read(text: &str, list: usize) -> Result<Vec<Said>, Problem> {
        understood(&[RANGE], serde_json::from_str(text).unwrap(), list)
    }

    fn range(change: impl Fn(&str) -> String) -> String {
        let digest = "e3".repeat(32);
        let range = format!(
            r#"{{"after":0,"up_to":9,"count":1,"amount":"1.00","net":"1.00","digest":"{digest}","items":[{{"tsms_id":5,"amount":"1.00","refunded":"0.00","status":"SALE"}}]}}"#
        );
        format!(r#"{{"ranges":[{}]}}"#, change(&range))
    }

    #[test]
    fn an_answer_must_be_one_to_the_question() {
        let said = read(&range(str::to_owned), 1).unwrap();
        assert_eq!((said[0].totals.count, said[0].items[0].id), (1, 5));
        for (what, with) in [
            (r#""after":0"#, r#""after":1"#),
            (r#""amount":"1.00","net""#, r#""amount":"1","net""#),
            ("e3e3", "E3E3"),
            (r#""tsms_id":5"#, r#""tsms_id":10"#),
            ("SALE", "PAID"),
        ] {
            assert!(
                read(&range(|text| text.replace(what, with)), 1).is_err(),
                "{with}"
            );
        }
        assert!(
            read(&range(str::to_owned), 0).is_err(),
            "nothing was to be listed"
        );
        assert!(read(r#"{"ranges":[]}"#, 1).is_err());
    }
}
