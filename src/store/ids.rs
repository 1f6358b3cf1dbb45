//! Row ids, handed out from blocks that are reserved in the database.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::{Sequence, Store, StoreError};
use crate::config;

/// Fewest ids reserved at a time.
const SMALLEST_BLOCK: i64 = 16;

/// Ids stay below 2^53: whatever reads them as a JSON number, a browser too, reads them exactly.
const HIGHEST_ID: i64 = 1 << 53;

/// A reserved range, and how large the next one will be.
#[derive(Debug)]
struct Block {
    next: i64,
    end: i64,
    taken: Option<Instant>,
    size: i64,
}

/// The blocks of one process.
pub(super) struct Ids {
    submission: Mutex<Block>,
    transaction: Mutex<Block>,
    largest: i64,
    ttl: Duration,
}

impl Ids {
    pub(super) fn new(settings: &config::Database) -> Self {
        let empty = || {
            Mutex::new(Block {
                next: 0,
                end: 0,
                taken: None,
                size: SMALLEST_BLOCK,
            })
        };
        Self {
            submission: empty(),
            transaction: empty(),
            largest: settings.id_block.max(SMALLEST_BLOCK),
            ttl: settings.id_block_ttl_ms.duration(),
        }
    }
}

impl Block {
    /// Throws an old block away: ids of different processes must stay close to time order, since
    /// the sweeper takes no row below its mark to be still to come. The next block follows the use:
    /// double when this one was emptied in its first half, half when it was hardly touched.
    fn prepare(&mut self, ttl: Duration, largest: i64) {
        let Some(age) = self.taken.map(|taken| taken.elapsed()) else {
            return;
        };
        let left = self.end - self.next;
        if left == 0 {
            if age < ttl / 2 {
                self.size = (self.size * 2).min(largest);
            }
            self.taken = None;
        } else if age >= ttl {
            if left > self.size / 4 * 3 {
                self.size = (self.size / 2).max(SMALLEST_BLOCK);
            }
            self.next = self.end;
            self.taken = None;
        }
    }

    fn hand_out(&mut self, wanted: usize, ids: &mut Vec<i64>) {
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
        let stop = self.next.saturating_add(wanted).min(self.end);
        ids.extend(self.next..stop);
        self.next = stop;
    }
}

impl Store {
    /// Takes the next `count` ids of a series, in order. Only one call in `id_block` ids touches
    /// the database.
    ///
    /// # Errors
    /// The database cannot be reached when a new block is needed.
    pub async fn next_ids(&self, sequence: Sequence, count: usize) -> Result<Vec<i64>, StoreError> {
        let ids = &self.inner.ids;
        let (series, block) = match sequence {
            Sequence::Submission => ("submission", &ids.submission),
            Sequence::Transaction => ("transaction", &ids.transaction),
        };
        let mut block = block.lock().await;
        let mut handed = Vec::with_capacity(count);
        block.prepare(ids.ttl, ids.largest);
        block.hand_out(count, &mut handed);
        if handed.len() < count {
            block.prepare(ids.ttl, ids.largest);
            let missing = i64::try_from(count - handed.len()).unwrap_or(i64::MAX);
            let size = block.size.max(missing);
            // The age counts from before the request, or a slow answer would make the block younger.
            let taken = Instant::now();
            let first = retrying!(self, self.inner.db.take_ids(series, size))?;
            if first.saturating_add(size) > HIGHEST_ID {
                return Err(StoreError::Damaged(format!("the {series} ids are used up")));
            }
            block.next = first;
            block.end = first + size;
            block.taken = Some(taken);
            block.hand_out(count - handed.len(), &mut handed);
        }
        Ok(handed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn block(next: i64, end: i64, size: i64) -> Block {
        Block {
            next,
            end,
            taken: Some(Instant::now()),
            size,
        }
    }

    #[test]
    fn a_block_follows_its_use() {
        let mut emptied = block(16, 16, 16);
        emptied.prepare(HOUR, 1000);
        assert_eq!(emptied.size, 32);

        let mut largest = block(900, 900, 900);
        largest.prepare(HOUR, 1000);
        assert_eq!(largest.size, 1000);

        let mut idle = block(1, 1000, 1000);
        idle.prepare(Duration::ZERO, 1000);
        assert_eq!((idle.size, idle.next), (500, 1000), "thrown away and smaller");

        let mut young = block(1, 1000, 1000);
        young.prepare(HOUR, 1000);
        assert_eq!((young.size, young.next), (1000, 1), "kept");
    }

    #[test]
    fn no_more_is_handed_out_than_the_block_has() {
        let mut ids = Vec::new();
        let mut few = block(7, 10, 16);
        few.hand_out(5, &mut ids);
        assert_eq!(ids, [7, 8, 9]);
        assert_eq!(few.next, 10);
    }
}
