//! The link of the audit chain: what exactly is hashed, so that anyone can check it.
//!
//! A row's hash is SHA-256 over these bytes, one after the other:
//!
//! | bytes | what |
//! |---|---|
//! | 16 | the ASCII text `tsms audit row 1`, so that no other hash can stand in for this one |
//! | 32 | the hash of the row before in the same chain, zero for the first |
//! | 8 | tenant id |
//! | 8 | place in the chain, from 1 |
//! | 8 | transaction row id |
//! | 8 | number of the change |
//! | 8 + n | the change's word: its length in bytes, then UTF-8 |
//! | 8 | when the change was committed, microseconds since the epoch |
//! | 8 + n | the details: length in bytes, then UTF-8 |
//! | 8 | when the row was appended, microseconds since the epoch |
//!
//! Numbers are signed 64-bit, lengths unsigned 64-bit, all big-endian. Every part has a fixed place
//! or its length before it, so two different rows never give the same bytes.

use sha2::{Digest as _, Sha256};

use super::{checksum::Digest, time::Timestamp, work::AuditEvent};

const LABEL: &[u8; 16] = b"tsms audit row 1";

/// The hash of the row at `seq` of its tenant's chain, which follows the row with the hash
/// `previous`.
#[must_use]
pub fn link(previous: &Digest, seq: i64, event: &AuditEvent, appended_at: Timestamp) -> Digest {
    let mut hash = Sha256::new();
    hash.update(LABEL);
    hash.update(previous);
    hash.update(event.tenant_id.to_be_bytes());
    hash.update(seq.to_be_bytes());
    hash.update(event.transaction_id.to_be_bytes());
    hash.update(event.change.number().to_be_bytes());
    text(&mut hash, event.change.as_str());
    hash.update(event.at.as_micros().to_be_bytes());
    text(&mut hash, &event.details);
    hash.update(appended_at.as_micros().to_be_bytes());
    hash.finalize().into()
}

fn text(hash: &mut Sha256, text: &str) {
    // A length always fits: no target has more than 64 bits of address.
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;
    use crate::domain::work::Change;

    fn event(change: Change, at: i64, details: &str) -> AuditEvent {
        AuditEvent {
            tenant_id: 7,
            transaction_id: 42,
            change,
            at: Timestamp::from_micros(at),
            details: details.to_owned(),
        }
    }

    /// The expected hashes were computed by another program from the table above.
    #[test]
    fn a_chain_of_two_rows_has_these_hashes() {
        let recorded = event(
            Change::Recorded,
            1_755_597_600_000_000,
            r#"{"amount":"1000.00","state":"PENDING"}"#,
        );
        let appended_at = Timestamp::from_micros(1_755_597_600_500_000);
        let first = link(&Digest::default(), 1, &recorded, appended_at);
        assert_eq!(
            HEXLOWER.encode(&first),
            "ee9311679297755c898804ac54d398a116cb6534a2dbf969c25c3f7e84114c35"
        );
        let decided = event(
            Change::Decided,
            1_755_597_601_000_000,
            r#"{"findings":["Ñ"],"state":"VALID"}"#,
        );
        let second = link(&first, 2, &decided, Timestamp::from_micros(1_755_597_601_500_000));
        assert_eq!(
            HEXLOWER.encode(&second),
            "42d4c4efc6ee48ee7c33514e3ac85f395807a920f3ec44fe1348c13be9d130aa"
        );
    }
}
