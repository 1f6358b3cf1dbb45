//! A job as a queue in memory holds it: half a million may wait beside everything else of the process,
//! so each takes little room, and copies of rows are kept only as far as there is room for them.

use bytes::Bytes;
use uuid::{Uuid, fmt::Hyphenated};

use crate::{domain::time::Timestamp, queue::Job};

/// A job that waits, with what the queue knows of it.
pub(super) struct Held {
    key: i64,
    tenant_id: i64,
    enqueued_at: Timestamp,
    /// When it was put among the ready jobs.
    pub(super) since: Timestamp,
    attempt: u32,
    /// How often it was given to a worker.
    pub(super) deliveries: u32,
    request_id: RequestId,
    /// Nothing where it is empty: most jobs of a long backlog have none.
    body: Option<Box<Bytes>>,
}

impl Held {
    pub(super) const fn tenant_id(&self) -> i64 {
        self.tenant_id
    }

    /// One more retry through the queue.
    pub(super) const fn try_again(&mut self) {
        self.attempt = self.attempt.saturating_add(1);
    }

    /// The job, as a worker gets it.
    pub(super) fn job(&self) -> Job {
        Job {
            key: self.key,
            tenant_id: self.tenant_id,
            attempt: self.attempt,
            enqueued_at: self.enqueued_at,
            request_id: self.request_id.text(),
            body: self.body.as_deref().cloned().unwrap_or_default(),
        }
    }
}

/// Most are made here and are a UUID: 16 bytes in place, not an allocation of their own.
enum RequestId {
    Uuid(Uuid),
    Text(Box<str>),
}

impl RequestId {
    fn of(text: String) -> Self {
        let uuid = Uuid::try_parse(&text).ok();
        // A client may write one in capitals or without hyphens, and gets back what it wrote.
        let same = |uuid: &Uuid| {
            let mut canonical = [0; Hyphenated::LENGTH];
            uuid.hyphenated().encode_lower(&mut canonical) == text.as_str()
        };
        match uuid.filter(same) {
            Some(uuid) => Self::Uuid(uuid),
            None => Self::Text(text.into_boxed_str()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Uuid(uuid) => uuid.to_string(),
            Self::Text(text) => text.to_string(),
        }
    }
}

/// The room for the bodies of the jobs of one queue, in bytes.
pub(super) struct Room {
    left: usize,
}

impl Room {
    pub(super) const fn new(bytes: usize) -> Self {
        Self { left: bytes }
    }

    /// Holds a job. Where its body finds no room it goes without, and its worker loads the rows.
    pub(super) fn hold(&mut self, job: Job, since: Timestamp, deliveries: u32) -> Held {
        let Job {
            key,
            tenant_id,
            attempt,
            enqueued_at,
            request_id,
            body,
        } = job;
        let fits = !body.is_empty() && body.len() <= self.left;
        let body = fits.then(|| {
            self.left -= body.len();
            Box::new(body)
        });
        Held {
            key,
            tenant_id,
            enqueued_at,
            since,
            attempt,
            deliveries,
            request_id: RequestId::of(request_id),
            body,
        }
    }

    /// A job that is held no more gives its room back.
    pub(super) fn release(&mut self, held: &Held) {
        self.left += held.body.as_ref().map_or(0, |body| body.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(body: &'static str) -> Job {
        Job {
            key: 7,
            tenant_id: 3,
            attempt: 2,
            enqueued_at: Timestamp::from_micros(5),
            request_id: "r-7".to_owned(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn a_job_comes_out_as_it_went_in_while_there_is_room_for_its_body() {
        let mut room = Room::new(10);
        let first = room.hold(job("12345678"), Timestamp::from_micros(9), 1);
        let second = room.hold(job("123"), Timestamp::from_micros(9), 1);
        assert_eq!(first.job(), job("12345678"));
        assert_eq!(second.job(), job(""));
        room.release(&first);
        room.release(&second);
        assert_eq!(
            room.hold(job("1234567890"), Timestamp::from_micros(9), 1).job(),
            job("1234567890")
        );
    }

    #[test]
    fn half_a_million_jobs_take_little_room() {
        assert_eq!(size_of::<Held>(), 72);
    }

    #[test]
    fn a_request_id_comes_out_as_it_went_in() {
        let ours = "01931f3e-7a4c-7d2b-9f3a-0c5e8b7d6a1f";
        assert!(matches!(RequestId::of(ours.to_owned()), RequestId::Uuid(_)));
        let capitals = ours.to_uppercase();
        let bare = ours.replace('-', "");
        let braced = format!("{{{ours}}}");
        for id in [ours, &capitals, &bare, &braced, "till-7", ""] {
            assert_eq!(RequestId::of(id.to_owned()).text(), id);
        }
    }
}
