//! How a job is written in a stream entry: version, key, tenant, attempt, enqueued, request id, body.
//! A delayed job is the same values in the same order, each with its length before it.

use std::str::FromStr;

use ::redis::{Cmd, Value};
use bytes::Bytes;

use crate::{
    domain::time::Timestamp,
    queue::{Job, fair::Lane, line::EntryId},
};

/// The version of the form below. A reader parks what it does not know, so that an old worker beside
/// a new one loses nothing.
const VERSION: &str = "1";

/// The values of a job by field name, in the order of the wire.
fn fields(job: &Job) -> [(&'static str, Vec<u8>); 6] {
    [
        ("v", VERSION.into()),
        ("k", job.key.to_string().into()),
        ("t", job.tenant_id.to_string().into()),
        ("a", job.attempt.to_string().into()),
        ("e", job.enqueued_at.as_micros().to_string().into()),
        ("r", job.request_id.clone().into()),
    ]
}

/// The command that puts a job at the end of `stream`.
pub(super) fn add(stream: &str, job: &Job) -> Cmd {
    let mut add = ::redis::cmd("XADD");
    add.arg(stream).arg("*");
    for (name, value) in fields(job) {
        add.arg(name).arg(value);
    }
    add.arg("b").arg(job.body.as_ref());
    add
}

/// A job as a member of the sorted set. `unique` keeps two equal jobs two members.
pub(super) fn pack(job: &Job, unique: &str) -> Vec<u8> {
    let mut packed = Vec::with_capacity(job.body.len() + 128);
    let mut part = |value: &[u8]| {
        // A body is bounded far below 4 GiB; a longer one is cut off by Redis before it gets here.
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        packed.extend_from_slice(&length.to_be_bytes());
        packed.extend_from_slice(value);
    };
    part(unique.as_bytes());
    for (_, value) in fields(job) {
        part(&value);
    }
    part(&job.body);
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

    /// The job, or why it is none.
    pub(super) fn job(self) -> Result<Job, String> {
        match self.field("v") {
            Some(version) if version == VERSION.as_bytes() => {}
            Some(other) => {
                let other = String::from_utf8_lossy(other);
                return Err(format!("wire version {other:?} is not known"));
            }
            None => return Err("the entry has no wire version".to_owned()),
        }
        let read = |name| {
            self.field(name)
                .ok_or_else(|| format!("the entry has no field {name:?}"))
        };
        let job = Job {
            key: parse(read("k")?).ok_or("the field \"k\" is not a number")?,
            tenant_id: parse(read("t")?).ok_or("the field \"t\" is not a number")?,
            attempt: parse(read("a")?).ok_or("the field \"a\" is not a number")?,
            enqueued_at: parse(read("e")?)
                .map(Timestamp::from_micros)
                .ok_or("the field \"e\" is not a number")?,
            request_id: String::from_utf8(read("r")?.to_vec())
                .map_err(|_| "the field \"r\" is not text".to_owned())?,
            body: Bytes::new(),
        };
        read("b")?;
        let body = self.take("b");
        Ok(Job { body, ..job })
    }

    /// The job as far as it can be read, and why it was parked.
    pub(super) fn parked(self) -> (Job, String) {
        let text = |name| {
            let value = self.field(name).unwrap_or_default();
            String::from_utf8_lossy(value).into_owned()
        };
        let reason = text("why");
        let at = i64::try_from(self.id.1).unwrap_or(i64::MAX).saturating_mul(1000);
        let job = Job {
            key: self.field("k").and_then(parse).unwrap_or_default(),
            tenant_id: self.field("t").and_then(parse).unwrap_or_default(),
            attempt: self.field("a").and_then(parse).unwrap_or_default(),
            enqueued_at: Timestamp::from_micros(self.field("e").and_then(parse).unwrap_or(at)),
            request_id: text("r"),
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

    fn raw(job: &Job) -> Raw {
        let mut values = Vec::new();
        for (name, value) in fields(job) {
            values.extend([Value::BulkString(name.into()), Value::BulkString(value)]);
        }
        values.extend([
            Value::BulkString("b".into()),
            Value::BulkString(job.body.to_vec()),
        ]);
        let id = Value::BulkString(b"1763800000123-4".to_vec());
        Raw::new(Lane::Crowd, &id, Value::Array(values)).unwrap()
    }

    #[test]
    fn a_job_reads_back_as_it_was_written() {
        assert_eq!(raw(&job()).job().unwrap(), job());
        assert_eq!(raw(&job()).id, EntryId(Lane::Crowd, 1_763_800_000_123, 4));
    }

    #[test]
    fn what_is_no_job_says_why() {
        let mut newer = raw(&job());
        newer.fields[1] = Value::BulkString(b"2".to_vec());
        assert_eq!(newer.job().unwrap_err(), "wire version \"2\" is not known");

        let mut broken = raw(&job());
        broken.fields[3] = Value::BulkString(b"seven".to_vec());
        assert_eq!(broken.job().unwrap_err(), "the field \"k\" is not a number");

        let mut short = raw(&job());
        short.fields.truncate(12);
        assert_eq!(short.job().unwrap_err(), "the entry has no field \"b\"");
    }

    #[test]
    fn a_parked_entry_shows_what_can_be_read() {
        let mut broken = raw(&job());
        broken.fields[3] = Value::BulkString(b"seven".to_vec());
        broken.fields.extend([
            Value::BulkString("why".into()),
            Value::BulkString("because".into()),
        ]);
        let (shown, reason) = broken.parked();
        assert_eq!((shown, reason.as_str()), (Job { key: 0, ..job() }, "because"));
    }
}
