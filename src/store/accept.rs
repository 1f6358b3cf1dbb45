//! The durable accept: submissions are committed here, before their terminals get an answer.

use std::collections::{HashMap, hash_map::Entry};

use uuid::Uuid;

use super::{
    Accepted, NewSubmission, Store, StoreError,
    dialect::Sql,
    driver::Tx,
    pieces::{fits, piece},
    tries::Tries,
    values::{Binds, Value},
};
use crate::domain::{checksum::Digest, time::Timestamp};

/// Most bytes of bodies in one statement, well below the packet limit of a MySQL server with
/// default settings (16 MiB in MariaDB). A single larger body travels alone.
const STATEMENT_BYTES: usize = 4 * 1024 * 1024;

const INSERT: Sql = Sql {
    name: "submissions.insert",
    text: "INSERT INTO submissions (id, tenant_id, terminal_id, submission_uuid, \
           submission_timestamp, payload_checksum, transaction_id, request_id, accepted_at, body) \
           VALUES {(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)}",
};

const INSERT_ITEMS: Sql = Sql {
    name: "submission_items.insert",
    text: "INSERT INTO submission_items (submission_id, position, terminal_id, transaction_id) \
           VALUES {(?, ?, ?, ?)}",
};

const EXISTING: Sql = Sql {
    name: "submissions.existing",
    text: "SELECT terminal_id, submission_uuid, id, payload_checksum, accepted_at \
           FROM submissions WHERE {(terminal_id = ? AND submission_uuid = ?)| OR }",
};

type Key = (i64, Uuid);

/// The submission that holds a key.
#[derive(Clone, Copy)]
struct Holder {
    id: i64,
    checksum: Digest,
    accepted_at: Timestamp,
}

impl NewSubmission {
    const fn key(&self) -> Key {
        (self.terminal_id, self.submission_uuid)
    }
}

impl Holder {
    const fn of(first: &NewSubmission) -> Self {
        Self {
            id: first.id,
            checksum: first.payload_checksum,
            accepted_at: first.accepted_at,
        }
    }

    /// What a submission is that found its key held.
    fn answer(&self, later: &NewSubmission) -> Accepted {
        let accepted_at = self.accepted_at;
        if self.checksum == later.payload_checksum {
            Accepted::Replay {
                id: self.id,
                accepted_at,
            }
        } else {
            Accepted::Conflict { accepted_at }
        }
    }
}

impl Store {
    /// Commits submissions in as few statements as the dialect allows, durably before it returns,
    /// and tells for each what it was. Idempotency is decided by the unique key (terminal,
    /// submission uuid), whoever else inserts at the same time. All or none of the new ones are kept.
    ///
    /// # Errors
    /// Nothing was committed, or the outcome is unknown; asking again is safe.
    pub async fn accept(&self, submissions: &[NewSubmission]) -> Result<Vec<Accepted>, StoreError> {
        let mut firsts: HashMap<Key, &NewSubmission> = HashMap::with_capacity(submissions.len());
        let mut wanted = Vec::with_capacity(submissions.len());
        for submission in submissions {
            fits("a request id", &submission.request_id, 128)?;
            if let Entry::Vacant(place) = firsts.entry(submission.key()) {
                place.insert(submission);
                wanted.push(submission);
            }
        }
        let held = self.insert_or_find(wanted).await?;
        let answer = |submission: &NewSubmission| {
            let key = submission.key();
            if let Some(holder) = held.get(&key) {
                return holder.answer(submission);
            }
            match firsts.get(&key) {
                // The same key twice in one call: the first is new, the others follow from it.
                Some(first) if !std::ptr::eq(*first, submission) => Holder::of(first).answer(submission),
                _ => Accepted::New,
            }
        };
        Ok(submissions.iter().map(answer).collect())
    }

    /// Inserts those whose key is free, and gives the holders of the other keys.
    async fn insert_or_find(
        &self,
        mut wanted: Vec<&NewSubmission>,
    ) -> Result<HashMap<Key, Holder>, StoreError> {
        let mut held = HashMap::new();
        let mut tries = Tries::new(self.inner.tries);
        let mut passes = 0;
        while !wanted.is_empty() {
            match self.insert_all(&wanted).await {
                Ok(()) => return Ok(held),
                Err(StoreError::Exists(_)) => {
                    let found = self.holders(&wanted).await?;
                    let progress = !found.is_empty();
                    wanted.retain(|submission| !found.contains_key(&submission.key()));
                    held.extend(found);
                    passes += 1;
                    // A plain repetition is no contention: the others need not wait for it.
                    let again = passes < self.inner.tries && (progress || tries.another().await);
                    if !again {
                        held.extend(retrying!(self, self.insert_singly(&wanted))?);
                        return Ok(held);
                    }
                }
                Err(error) if tries.after(&error).await => {}
                Err(error) => return Err(error),
            }
        }
        Ok(held)
    }

    /// The usual case: no look before the leap. A set that is one statement is its own transaction,
    /// which saves two round trips.
    async fn insert_all(&self, wanted: &[&NewSubmission]) -> Result<(), StoreError> {
        let size = self.fitting(wanted);
        let batches = wanted
            .iter()
            .any(|submission| submission.transaction_ids.len() > 1);
        if size == wanted.len() && !batches {
            self.inner.db.execute(&INSERT, size, &values_of(wanted)).await?;
            return Ok(());
        }
        let mut tx = self.inner.db.begin().await?;
        match self.insert_in(&mut tx, wanted).await {
            Ok(()) => tx.commit().await,
            Err(error) => {
                tx.roll_back().await?;
                Err(error)
            }
        }
    }

    async fn insert_in(&self, tx: &mut Tx, wanted: &[&NewSubmission]) -> Result<(), StoreError> {
        let mut rest = wanted;
        while let Some((now, later)) = rest.split_at_checked(self.fitting(rest)) {
            if now.is_empty() {
                break;
            }
            tx.execute(&INSERT, now.len(), &values_of(now)).await?;
            rest = later;
        }
        let items: Vec<(i64, i64, i64, Uuid)> = wanted
            .iter()
            .filter(|submission| submission.transaction_ids.len() > 1)
            .flat_map(|submission| {
                let ids = submission.transaction_ids.iter().zip(0..);
                ids.map(|(id, position)| (submission.id, position, submission.terminal_id, *id))
            })
            .collect();
        for items in self.pieces(&items) {
            let mut values = Binds::of(items.len() * 4);
            for (id, position, terminal, transaction) in items {
                values.put(*id).put(*position).put(*terminal).put(*transaction);
            }
            tx.execute(&INSERT_ITEMS, items.len(), &values).await?;
        }
        Ok(())
    }

    /// The last resort when others keep taking keys: one by one in one transaction, asking for the
    /// holder of each key that is taken.
    async fn insert_singly(&self, wanted: &[&NewSubmission]) -> Result<HashMap<Key, Holder>, StoreError> {
        let mut held = HashMap::new();
        let mut tx = self.inner.db.begin().await?;
        tx.forgive();
        for submission in wanted {
            match self.insert_in(&mut tx, &[submission]).await {
                Ok(()) => {}
                Err(StoreError::Exists(table)) => {
                    let key = submission.key();
                    let rows = tx.fetch(&EXISTING, 1, &[key.0.into(), key.1.into()]).await?;
                    // Held, and yet not found: the row id is taken, not the key.
                    let row = rows.first().ok_or(StoreError::Exists(table))?;
                    let (key, holder) = read_holder(row)?;
                    held.insert(key, holder);
                }
                Err(error) => return Err(error),
            }
        }
        tx.commit().await?;
        Ok(held)
    }

    async fn holders(&self, wanted: &[&NewSubmission]) -> Result<HashMap<Key, Holder>, StoreError> {
        let mut found = HashMap::new();
        for wanted in self.pieces(wanted) {
            let mut values = Binds::of(wanted.len() * 2);
            for submission in wanted {
                values.put(submission.terminal_id).put(submission.submission_uuid);
            }
            for row in self.inner.db.fetch(&EXISTING, wanted.len(), &values).await? {
                let (key, holder) = read_holder(&row)?;
                found.insert(key, holder);
            }
        }
        Ok(found)
    }

    /// How many of the first submissions go into the next statement.
    fn fitting(&self, submissions: &[&NewSubmission]) -> usize {
        let mut size = piece(submissions.len(), self.inner.rows);
        let bytes = |size: usize| -> usize {
            submissions
                .iter()
                .take(size)
                .map(|submission| submission.body.len())
                .sum()
        };
        while size > 1 && bytes(size) > STATEMENT_BYTES {
            size /= 2;
        }
        size
    }
}

fn values_of<'a>(submissions: &[&'a NewSubmission]) -> Binds<'a> {
    let mut values = Binds::of(submissions.len() * 10);
    for submission in submissions {
        // A batch names its sales in submission_items.
        let single = match submission.transaction_ids.as_slice() {
            [id] => Some(*id),
            _ => None,
        };
        values
            .put(submission.id)
            .put(submission.tenant_id)
            .put(submission.terminal_id)
            .put(submission.submission_uuid)
            .put(submission.submission_timestamp)
            .put(&submission.payload_checksum)
            .put(single)
            .put(submission.request_id.as_str())
            .put(submission.accepted_at)
            .put(Value::Bytes(&submission.body));
    }
    values
}

fn read_holder(row: &super::driver::Row) -> Result<(Key, Holder), StoreError> {
    let mut cells = row.cells();
    let key = (cells.int()?, cells.uuid()?);
    let holder = Holder {
        id: cells.int()?,
        checksum: cells.digest()?,
        accepted_at: cells.time()?,
    };
    Ok((key, holder))
}
