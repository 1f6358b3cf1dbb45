//! The audit log: one hash chain a tenant, appended to, never changed.

use super::{Store, StoreError};
use crate::domain::{checksum::Digest, time::Timestamp, work::AuditEvent};

/// A row of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Place in the tenant's chain, from 1 without gaps.
    pub seq: i64,
    /// The event.
    pub event: AuditEvent,
    /// When the row was appended.
    pub appended_at: Timestamp,
    /// Hash of the row before; zero for the first.
    pub previous: Digest,
    /// SHA-256 over `previous` and this row's own fields.
    pub hash: Digest,
}

impl Store {
    /// Appends events to their tenants' chains; those recorded before are left alone. Two writers
    /// at once cannot fork a chain: (tenant, seq) and (transaction, change) are unique. Gives how
    /// many rows were new.
    ///
    /// # Errors
    /// [`StoreError::Exists`] after bounded tries against other writers; see [`StoreError`].
    pub async fn append_audit(&self, events: &[AuditEvent]) -> Result<usize, StoreError> {
        let _ = events;
        todo!("store")
    }

    /// One page of a tenant's chain above `after`, in order.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn audit_page(
        &self,
        tenant_id: i64,
        after: i64,
        limit: usize,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let _ = (tenant_id, after, limit);
        todo!("store")
    }
}
