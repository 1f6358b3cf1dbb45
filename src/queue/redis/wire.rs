//! How a job is written in a stream entry: `h`, a line of version, key, tenant, attempt, enqueued and
//! request id, and `b`, the body. Few values, since what Redis and its client spend on a job grows with
//! their number. A delayed job is the same two values, each with its length before it.
//!
//! Version 1 had a field each; it is still read, so that a new worker loses nothing beside an old one.

use std::str::FromStr;

use ::redis::{Cmd, Value};
use bytes::Bytes;

use crate::{
    domain::time::Timestamp,
    queue::{Job, fair::Lane, line::EntryId},
};

/// The version of the form below. A reader parks what it does not know, so that an old worker beside
/// a new one loses nothing.
const VERSION: &str = "2";
/// The version with a field for each value.
const SPREAD: &str = "1";
/// The fields of version 1, in the order of the line.
const SPREAD_FIELDS: [&str; 6] = ["v", "k", "t", "a", "e", "r"];

/// The line of a job.
fn line(job: &Job) -> String {
    let Job {
        key,
        tenant_id,
        attempt,
        enqueued_at,
        request_id,
        body: _,
    } = job;
    let enqueued_at = enqueued_at.as_micros();
    format!("{VERSION} {key} {tenant_id} {attempt} {enqueued_at} {request_id}")
}

/// The command that puts a job with this body at the end of `stream`.
pub(super) fn add(stream: &str, job: &Job, body: &[u8]) -> Cmd {
    let mut add = ::redis::cmd("XADD");
    add.arg(stream).arg("*").arg("h").arg(line(job));
    add.arg("b").arg(body);
    add
}

/// A job as a member of the sorted set. `unique` keeps two equal jobs two members.
pub(super) fn pack(job: &Job, unique: &str) -> Vec<u8> {
    let mut packed = Vec::with_capacity(job.body.len() + 128);
    for value in [unique.as_bytes(), line(job).as_bytes(), &job.body] {
        // A body is bounded far below 4 GiB; a longer one is cut off by Redis before it gets here.
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        packed.extend_from_slice(&length.to_be_bytes());
        packed.extend_from_slice(value);
    }
    packed
}

/// An entry of a stream as it came: its id, then names and values in turn.
pub(super) struct Raw {
    pub(super) id: EntryId,
    pub(super) fields: Vec<Value>,
}

impl Raw {
    /// Reads `[id, [name, value, …]]` of `lane`. `None` for an answer of another shape.
    pub(super) fn new(lane: Lane, id: &Value, fields: Value) -> Option<Self> {
        let id = match id {
            Value::BulkString(text) => EntryId::parse(lane, std::str::from_utf8(text).ok()?)?,
            _ => return None,
        };
        let Value::Array(fields) = fields else { return None };
        Some(Self { id, fields })
    }

    /// The line of the job, whichever way it was written.
    fn line(&self) -> Option<String> {
        if let Some(line) = self.field("h") {
            return Some(String::from_utf8_lossy(line).into_owned());
        }
        let version = self.field("v")?;
        if version != SPREAD.as_bytes() {
            return Some(String::from_utf8_lossy(version).into_owned());
        }
        let values = SPREAD_FIELDS.map(|name| self.field(name).map(String::from_utf8_lossy));
        let values: Vec<&str> = values
            .iter()
            .map(|value| value.as_deref().unwrap_or(""))
            .collect();
        Some(values.join(" "))
    }

    /// The job, or why it is none.
    pub(super) fn job(self) -> Result<Job, String> {
        let line = self.line().ok_or("the entry has no wire version")?;
        let mut words = line.splitn(6, ' ');
        let version = words.next().unwrap_or_default();
        if version != VERSION && version != SPREAD {
            return Err(format!("wire version {version:?} is not known"));
        }
        let mut number = |what| {
            let word = words.next().unwrap_or_default();
            word.parse()
                .map_err(|_| format!("the {what} of the entry is not a number: {word:?}"))
        };
        let (key, tenant_id) = (number("key")?, number("tenant")?);
        let attempt = number("attempt")?;
        let attempt = u32::try_from(attempt).map_err(|_| format!("attempt {attempt} of the entry"))?;
        let enqueued_at = Timestamp::from_micros(number("time")?);
        let request_id = words.next().ok_or("the entry has no request id")?.to_owned();
        if self.field("b").is_none() {
            return Err("the entry has no body".to_owned());
        }
        Ok(Job {
            key,
            tenant_id,
            attempt,
            enqueued_at,
            request_id,
            body: self.take("b"),
        })
    }

    /// The job as far as it can be read, and why it was parked.
    pub(super) fn parked(self) -> (Job, String) {
        let reason = String::from_utf8_lossy(self.field("why").unwrap_or_default()).into_owned();
        let at = i64::try_from(self.id.1).unwrap_or(i64::MAX).saturating_mul(1000);
        let line = self.line().unwrap_or_default();
        let mut words = line.splitn(6, ' ').skip(1);
        let mut word = || words.next().unwrap_or_default();
        let job = Job {
            key: word().parse().unwrap_or_default(),
            tenant_id: word().parse().unwrap_or_default(),
            attempt: word().parse().unwrap_or_default(),
            enqueued_at: Timestamp::from_micros(word().parse().unwrap_or(at)),
            request_id: word().to_owned(),
            body: Bytes::new(),
        };
        let body = self.take("b");
        (Job { body, ..job }, reason)
    }

    fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.chunks_exact(2).find_map(|pair| match pair {
            [Value::BulkString(key), Value::BulkString(value)] if key == name.as_bytes() => {
                Some(value.as_slice())
            }
            _ => None,
        })
    }

    /// Moves a value out, without a copy.
    fn take(self, name: &str) -> Bytes {
        let mut values = self.fields.into_iter();
        while let (Some(key), Some(value)) = (values.next(), values.next()) {
            if let (Value::BulkString(key), Value::BulkString(value)) = (key, value)
                && key == name.as_bytes()
            {
                return Bytes::from(value);
            }
        }
        Bytes::new()
    }
}

/// Reads a value that is a number or an id in text.
pub(super) fn number<T: FromStr>(value: &Value) -> Option<T> {
    match value {
        Value::BulkString(text) => parse(text),
        Value::SimpleString(text) => text.parse().ok(),
        Value::Int(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

fn parse<T: FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The entries of one stream in an answer to a range: `[[id, fields], …]`.
pub(super) fn range(lane: Lane, answer: Value) -> Vec<Raw> {
    let Value::Array(entries) = answer else {
        return Vec::new();
    };
    let entry = |value| {
        let Value::Array(parts) = value else { return None };
        let mut parts = parts.into_iter();
        Raw::new(lane, &parts.next()?, parts.next()?)
    };
    entries.into_iter().filter_map(entry).collect()
}

/// The entries of each stream in an answer to a group read, which names a stream only if it has some;
/// `lane` tells the lane of a stream.
pub(super) fn read(answer: Value, lane: impl Fn(&[u8]) -> Lane) -> Vec<Raw> {
    let streams: Vec<(Value, Value)> = match answer {
        Value::Array(streams) => streams.into_iter().filter_map(pair).collect(),
        Value::Map(streams) => streams,
        _ => Vec::new(),
    };
    let entries = streams.into_iter().map(|(name, entries)| match name {
        Value::BulkString(name) => range(lane(&name), entries),
        _ => Vec::new(),
    });
    entries.flatten().collect()
}

fn pair(value: Value) -> Option<(Value, Value)> {
    let Value::Array(parts) = value else { return None };
    let mut parts = parts.into_iter();
    Some((parts.next()?, parts.next()?))
}

/// The ids in an answer to a request for what is taken: `[[id, consumer, idle, deliveries], …]`.
pub(super) fn pending(lane: Lane, answer: Value) -> Vec<EntryId> {
    let Value::Array(taken) = answer else {
        return Vec::new();
    };
    let id = |value| match value {
        Value::Array(parts) => match parts.into_iter().next() {
            Some(Value::BulkString(id)) => EntryId::parse(lane, std::str::from_utf8(&id).ok()?),
            _ => None,
        },
        _ => None,
    };
    taken.into_iter().filter_map(id).collect()
}

/// The jobs in an answer of `claim.lua`: the next cursor, and entries with their deliveries.
pub(super) fn claimed(lane: Lane, answer: Value) -> (String, Vec<(Raw, u32)>) {
    let Value::Array(parts) = answer else {
        return (String::new(), Vec::new());
    };
    let mut parts = parts.into_iter();
    let cursor = match parts.next() {
        Some(Value::BulkString(cursor)) => String::from_utf8(cursor).unwrap_or_default(),
        _ => String::new(),
    };
    let Some(Value::Array(taken)) = parts.next() else {
        return (cursor, Vec::new());
    };
    let taken = taken.into_iter().filter_map(|value| {
        let Value::Array(parts) = value else { return None };
        let mut parts = parts.into_iter();
        let raw = Raw::new(lane, &parts.next()?, parts.next()?)?;
        Some((raw, number(&parts.next()?)?))
    });
    (cursor, taken.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        Job {
            key: -7,
            tenant_id: 3,
            attempt: 2,
            enqueued_at: Timestamp::from_micros(1_763_800_000_123_456),
            request_id: "req-1".to_owned(),
            body: Bytes::from_static(b"\x00\xff body"),
        }
    }

    fn entry_of(values: &[(&str, &[u8])]) -> Raw {
        let values = values
            .iter()
            .flat_map(|(name, value)| [name.as_bytes(), value])
            .map(|bytes| Value::BulkString(bytes.to_vec()));
        let id = Value::BulkString(b"1763800000123-4".to_vec());
        Raw::new(Lane::Crowd, &id, Value::Array(values.collect())).unwrap()
    }

    fn written(job: &Job) -> Raw {
        entry_of(&[("h", line(job).as_bytes()), ("b", &job.body)])
    }

    #[test]
    fn a_job_reads_back_as_it_was_written() {
        for request_id in ["req-1", "", "with spaces  in it "] {
            let job = Job {
                request_id: request_id.to_owned(),
                ..job()
            };
            assert_eq!(written(&job).job().unwrap(), job);
            assert_eq!(written(&job).id, EntryId(Lane::Crowd, 1_763_800_000_123, 4));
        }
    }

    #[test]
    fn a_job_of_the_version_before_is_read() {
        let spread: [(&str, &[u8]); 7] = [
            ("v", b"1"),
            ("k", b"-7"),
            ("t", b"3"),
            ("a", b"2"),
            ("e", b"1763800000123456"),
            ("r", b"req-1"),
            ("b", b"\x00\xff body"),
        ];
        assert_eq!(entry_of(&spread).job().unwrap(), job());
    }

    #[test]
    fn what_is_no_job_says_why() {
        for (line, reason) in [
            ("3 anything", "wire version \"3\" is not known"),
            ("", "wire version \"\" is not known"),
            (
                "2 seven 1 1 1 ",
                "the key of the entry is not a number: \"seven\"",
            ),
            ("2 7 1 -1 1 ", "attempt -1 of the entry"),
            ("2 7 1 1", "the time of the entry is not a number: \"\""),
            ("2 7 1 1 1", "the entry has no request id"),
        ] {
            let broken = entry_of(&[("h", line.as_bytes()), ("b", b"")]);
            assert_eq!(broken.job().unwrap_err(), reason, "{line}");
        }
        let short = entry_of(&[("h", line(&job()).as_bytes())]);
        assert_eq!(short.job().unwrap_err(), "the entry has no body");
        let foreign = entry_of(&[("x", b"1")]);
        assert_eq!(foreign.job().unwrap_err(), "the entry has no wire version");
        let newer = entry_of(&[("v", b"9")]);
        assert_eq!(newer.job().unwrap_err(), "wire version \"9\" is not known");
    }

    #[test]
    fn a_parked_entry_shows_what_can_be_read() {
        let line = line(&job()).replace("-7", "seven");
        let body = job().body;
        let broken = entry_of(&[("h", line.as_bytes()), ("b", &body), ("why", b"because")]);
        let (shown, reason) = broken.parked();
        assert_eq!((shown, reason.as_str()), (Job { key: 0, ..job() }, "because"));
    }
}
