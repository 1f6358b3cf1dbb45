//! Tries to forward that did not succeed: what was sent and what came back, by their digests.

use data_encoding::HEXLOWER;
use serde::{Serialize, Serializer};

use super::{Store, StoreError, cells::Cells, dialect::Sql, pieces::fits_word, values::Binds, values::page};
use crate::domain::{checksum::Digest, dead_letter::Letter, time::Timestamp};

/// Widths of columns.
const SINK: usize = 40;
const CODE: usize = 64;

/// A try that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Try {
    /// The sale, also where a void or refund of it was sent.
    pub transaction_id: i64,
    /// Which attempt it was.
    pub attempt: u32,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// How long it took until the answer was read, in milliseconds.
    pub took_ms: u32,
    /// To which sink.
    pub sink: String,
    /// The batch that carried it.
    pub batch_id: String,
    /// Sales in that batch.
    pub sales: u32,
    /// Why it did not succeed.
    pub code: String,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// SHA-256 of the JSON that was sent.
    #[serde(rename = "request_sha256", serialize_with = "hex")]
    pub request_digest: Digest,
    /// SHA-256 of the answer, as far as it was read.
    #[serde(rename = "answer_sha256", serialize_with = "hex_or_null")]
    pub answer_digest: Option<Digest>,
}

impl Try {
    /// [`Try::request_digest`] in lower-case hex.
    #[must_use]
    pub fn request_sha256(&self) -> String {
        HEXLOWER.encode(&self.request_digest)
    }

    /// [`Try::answer_digest`] in lower-case hex.
    #[must_use]
    pub fn answer_sha256(&self) -> Option<String> {
        self.answer_digest.as_ref().map(|digest| HEXLOWER.encode(digest))
    }
}

fn hex<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&HEXLOWER.encode(digest))
}

fn hex_or_null<S: Serializer>(digest: &Option<Digest>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = digest.as_ref().map(|digest| HEXLOWER.encode(digest));
    text.serialize(serializer)
}

macro_rules! try_columns {
    () => {
        "transaction_id, attempt, sent_at, took_ms, sink, batch_id, sales, code, status, request_digest, answer_digest"
    };
}

const INSERT: Sql = Sql {
    name: "forward_tries.insert",
    text: "INSERT INTO forward_tries (transaction_id, attempt, sent_at, took_ms, sink, batch_id, sales, code, \
           status, request_digest, answer_digest) VALUES {(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)}",
};

const OF_SALE: Sql = Sql {
    name: "forward_tries.of_sale",
    text: concat!(
        "SELECT ",
        try_columns!(),
        " FROM forward_tries WHERE transaction_id = ? ORDER BY id DESC LIMIT ?"
    ),
};

const OF_REVERSAL: Sql = Sql {
    name: "forward_tries.of_reversal",
    text: concat!(
        "SELECT ",
        try_columns!(),
        " FROM forward_tries WHERE transaction_id = (SELECT sale_id FROM reversals WHERE id = ?) \
         ORDER BY id DESC LIMIT ?"
    ),
};

impl Store {
    /// Keeps tries.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn keep_tries(&self, tries: &[Try]) -> Result<(), StoreError> {
        for one in tries {
            fits_word("the name of a sink", &one.sink, SINK)?;
            fits_word("a batch id", &one.batch_id, super::forward_ends::BATCH_ID)?;
            fits_word("a code", &one.code, CODE)?;
        }
        for tries in self.pieces(tries) {
            let mut values = Binds::of(tries.len() * 11);
            for one in tries {
                values
                    .put(one.transaction_id)
                    .put(i64::from(one.attempt))
                    .put(one.sent_at)
                    .put(i64::from(one.took_ms))
                    .put(one.sink.as_str())
                    .put(one.batch_id.as_str())
                    .put(i64::from(one.sales))
                    .put(one.code.as_str())
                    .put(one.status.map(i64::from))
                    .put(&one.request_digest)
                    .put(one.answer_digest.as_ref());
            }
            retrying!(self, self.inner.db.execute(&INSERT, tries.len(), &values))?;
        }
        Ok(())
    }

    /// The newest tries of what a letter is about, the newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn tries_of(&self, letter: &Letter, limit: usize) -> Result<Vec<Try>, StoreError> {
        let sql = match letter.stage.as_str() {
            "forwarding" => &OF_SALE,
            "reversal" => &OF_REVERSAL,
            _ => return Ok(Vec::new()),
        };
        let values = [letter.subject_id.into(), page(limit)];
        let rows = self.inner.db.fetch(sql, 1, &values).await?;
        rows.iter().map(|row| read(&mut row.cells())).collect()
    }
}

fn read(cells: &mut Cells<'_>) -> Result<Try, StoreError> {
    Ok(Try {
        transaction_id: cells.int()?,
        attempt: cells.count()?,
        sent_at: cells.time()?,
        took_ms: cells.count()?,
        sink: cells.text()?,
        batch_id: cells.text()?,
        sales: cells.count()?,
        code: cells.text()?,
        status: cells.int_or_null()?.and_then(|status| u16::try_from(status).ok()),
        request_digest: cells.digest()?,
        answer_digest: cells.digest_or_null()?,
    })
}
