//! What an answer of the web application means for the sales of the batch. All of it is pure.
//!
//! | answer | meaning |
//! |---|---|
//! | 2xx, empty or JSON body | the whole batch is accepted, unless the body names results |
//! | 2xx, any other body | a log-in page or a proxy spoke, not the web application: again |
//! | 2xx, body `{"results":[{"tsms_id" or "transaction_id", "status", "code"?}]}` | `accepted` and `duplicate`: accepted; `rejected`: dead; `retry`, an unknown word or not named: again |
//! | 2xx with a JSON body too long to read | unknown: again |
//! | 408, 425, 429, 5xx | again; `Retry-After` of 429 and 503 is honoured up to a bound |
//! | 401, 403, 404, 3xx | again: the settings are wrong, not the sale |
//! | other 4xx | refused: a batch is halved until the sale that is refused stands alone |

use std::{collections::HashMap, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::super::outbound::Body;

/// Most characters kept of what the web application said about a refused sale.
const DETAIL_CHARS: usize = 500;

/// An answer as it came.
pub(super) struct Reply {
    pub(super) status: u16,
    /// The text of the `Retry-After` header.
    pub(super) retry_after: Option<String>,
    pub(super) body: Body,
}

/// What it means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// All of the batch is accepted.
    Accepted,
    /// Each sale has its own result.
    Named(Results),
    /// All of the batch, another time.
    Later {
        code: &'static str,
        /// Not before.
        after: Option<Duration>,
        /// How the breaker takes it.
        health: Health,
    },
    /// Something in the batch is not acceptable.
    Refused { detail: String },
}

/// What an answer says about the web application itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It works.
    Well,
    /// It is busy: no sign of failure, none of health.
    Busy,
    /// It does not work.
    Ill,
}

impl Ruling {
    /// What the ruling says about the web application.
    pub(super) const fn health(&self) -> Health {
        match self {
            Ruling::Later { health, .. } => *health,
            _ => Health::Well,
        }
    }

    /// The metric label of the attempt.
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Ruling::Accepted => "ok",
            Ruling::Named(_) => "partial",
            Ruling::Later { code, .. } => code,
            Ruling::Refused { .. } => "refused",
        }
    }
}

/// What was said of one sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Has,
    Rejected { detail: String },
    Again,
}

/// The results that an answer names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Results {
    by_id: HashMap<i64, Said>,
    by_uuid: HashMap<Uuid, Said>,
}

impl Results {
    /// What was said of a sale. Its transaction id counts only where `unique` in the batch: two
    /// terminals may use the same one.
    pub(super) fn of(&self, tsms_id: i64, transaction_id: Uuid, unique: bool) -> Said {
        self.by_id
            .get(&tsms_id)
            .or_else(|| self.by_uuid.get(&transaction_id).filter(|_| unique))
            .cloned()
            .unwrap_or(Said::Again)
    }

    fn read(rows: &[Value]) -> Self {
        let mut results = Self::default();
        for row in rows {
            let Ok(row) = Named::deserialize(row) else {
                continue;
            };
            let said = match row.status.as_str() {
                "accepted" | "duplicate" => Said::Has,
                "rejected" => Said::Rejected {
                    detail: row.code.as_ref().map(cut).unwrap_or_default(),
                },
                _ => Said::Again,
            };
            if let Some(id) = row.tsms_id.as_ref().and_then(number) {
                results.by_id.insert(id, said);
            } else if let Some(uuid) = row.transaction_id.and_then(|text| text.parse().ok()) {
                results.by_uuid.insert(uuid, said);
            }
        }
        results
    }
}

#[derive(Deserialize)]
struct Named {
    tsms_id: Option<Value>,
    transaction_id: Option<String>,
    status: String,
    code: Option<Value>,
}

/// A whole number, also where it is written as a string.
fn number(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

fn cut(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().take(DETAIL_CHARS).collect(),
        other => other.to_string().chars().take(DETAIL_CHARS).collect(),
    }
}

/// Judges an answer that came at `now`; `longest` bounds `Retry-After`.
pub(super) fn judge(reply: &Reply, now: jiff::Timestamp, longest: Duration) -> Ruling {
    let later = |code, health| Ruling::Later {
        code,
        after: None,
        health,
    };
    let wait = || {
        (reply.retry_after.as_deref())
            .and_then(|text| retry_after(text, now))
            .map(|wait| wait.min(longest))
    };
    match reply.status {
        200..=299 => accepted(&reply.body),
        429 => Ruling::Later {
            code: "http_429",
            after: wait(),
            health: Health::Busy,
        },
        503 => Ruling::Later {
            code: "http_5xx",
            after: wait(),
            health: Health::Ill,
        },
        408 | 425 => later("http_408", Health::Busy),
        500.. => later("http_5xx", Health::Ill),
        401 | 403 | 404 => later("webapp_denied", Health::Well),
        400..=499 => Ruling::Refused {
            detail: detail(reply),
        },
        _ => later("webapp_redirect", Health::Well),
    }
}

fn accepted(body: &Body) -> Ruling {
    if body.cut {
        let json = body.bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        return if json {
            Ruling::Later {
                code: "answer_too_long",
                after: None,
                health: Health::Well,
            }
        } else {
            NOT_JSON
        };
    }
    match serde_json::from_slice::<Value>(&body.bytes) {
        Ok(Value::Object(members)) => match members.get("results") {
            Some(Value::Array(rows)) => Ruling::Named(Results::read(rows)),
            _ => Ruling::Accepted,
        },
        Ok(_) => Ruling::Accepted,
        Err(_) if body.bytes.trim_ascii().is_empty() => Ruling::Accepted,
        Err(_) => NOT_JSON,
    }
}

/// A page where JSON is due: something stands between us and the web application.
const NOT_JSON: Ruling = Ruling::Later {
    code: "webapp_not_json",
    after: None,
    health: Health::Ill,
};

fn detail(reply: &Reply) -> String {
    let text = String::from_utf8_lossy(&reply.body.bytes);
    format!(
        "HTTP {}: {}",
        reply.status,
        text.trim().chars().take(DETAIL_CHARS).collect::<String>()
    )
}

/// Reads `Retry-After`: seconds, or a date.
fn retry_after(text: &str, now: jiff::Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(3600);

    fn reply(status: u16, retry_after: Option<&str>, body: &str) -> Ruling {
        let now: jiff::Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        let reply = Reply {
            status,
            retry_after: retry_after.map(str::to_owned),
            body: Body {
                bytes: body.as_bytes().to_vec(),
                cut: false,
            },
        };
        judge(&reply, now, LONGEST)
    }

    #[test]
    fn a_2xx_without_results_is_accepted_as_a_whole() {
        for body in ["", " \n", "[1]", r#"{"status":"success"}"#, r#"{"results":null}"#] {
            assert_eq!(reply(202, None, body), Ruling::Accepted, "{body}");
        }
    }

    #[test]
    fn a_page_is_not_the_word_of_the_web_application() {
        for body in ["OK", "<html>", "{", "\u{feff}{}"] {
            assert_eq!(reply(200, None, body), NOT_JSON, "{body}");
        }
    }

    #[test]
    fn results_decide_item_by_item_and_silence_means_again() {
        let ruling = reply(
            200,
            None,
            r#"{"results":[{"tsms_id":1,"status":"accepted"},{"tsms_id":"2","status":"duplicate"},
                {"tsms_id":3,"status":"rejected","code":"bad_vat"},{"tsms_id":4,"status":"retry"},
                {"tsms_id":5,"status":"queued"},{"nonsense":true},
                {"transaction_id":"00000000-0000-0000-0000-000000000007","status":"accepted"}]}"#,
        );
        let Ruling::Named(results) = ruling else {
            panic!("{ruling:?}");
        };
        let of = |id: i64| results.of(id, Uuid::from_u128(u128::try_from(id).unwrap()), true);
        assert_eq!((of(1), of(2), of(7)), (Said::Has, Said::Has, Said::Has));
        let detail = "bad_vat".to_owned();
        assert_eq!(of(3), Said::Rejected { detail });
        assert_eq!((of(4), of(5), of(6)), (Said::Again, Said::Again, Said::Again));
        assert_eq!(results.of(8, Uuid::from_u128(7), false), Said::Again);
        assert!(matches!(reply(200, None, r#"{"results":[]}"#), Ruling::Named(_)));
    }

    #[test]
    fn the_table_of_statuses() {
        let table = [
            (408, "http_408", Health::Busy),
            (425, "http_408", Health::Busy),
            (429, "http_429", Health::Busy),
            (500, "http_5xx", Health::Ill),
            (503, "http_5xx", Health::Ill),
            (599, "http_5xx", Health::Ill),
            (401, "webapp_denied", Health::Well),
            (403, "webapp_denied", Health::Well),
            (404, "webapp_denied", Health::Well),
            (302, "webapp_redirect", Health::Well),
        ];
        for (status, code, health) in table {
            let expected = Ruling::Later {
                code,
                after: None,
                health,
            };
            assert_eq!(reply(status, None, ""), expected, "{status}");
        }
        for status in [400, 409, 413, 422, 451] {
            assert!(
                matches!(reply(status, None, "no"), Ruling::Refused { .. }),
                "{status}"
            );
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        let after = |status, text| match reply(status, Some(text), "") {
            Ruling::Later { after, .. } => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(after(429, "7"), Some(Duration::from_secs(7)));
        assert_eq!(after(503, "99999999"), Some(LONGEST));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(after(429, date), Some(Duration::from_secs(37)));
        assert_eq!(after(429, "Sat, 06 Nov 1993 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(after(429, "soon"), None);
        assert_eq!(after(500, "7"), None);
    }

    #[test]
    fn an_answer_too_long_to_read_is_no_answer_if_it_may_name_results() {
        let cut = |text: &str| {
            accepted(&Body {
                bytes: text.as_bytes().to_vec(),
                cut: true,
            })
        };
        assert!(matches!(cut(r#" {"results":["#), Ruling::Later { .. }));
        assert_eq!(cut("<html>"), NOT_JSON);
    }
}
