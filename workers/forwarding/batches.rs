//! Which sales travel together, and in what order. All of it is pure.

use std::collections::BTreeMap;

use crate::{domain::forward::Item, store::ForwardItem};

/// A claimed sale with the item that carries it.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) item: Item,
    pub(super) claimed: ForwardItem,
}

/// Sales of one tenant that are sent together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) tenant_id: i64,
    pub(super) parcels: Vec<Parcel>,
}

impl Batch {
    /// The two halves of a batch of more than one sale, in order.
    pub(super) fn halves(mut self) -> (Batch, Batch) {
        let second = self.parcels.split_off(self.parcels.len().div_ceil(2));
        let rest = Batch {
            tenant_id: self.tenant_id,
            parcels: second,
        };
        (self, rest)
    }
}

/// Batches of the sales of one tenant, at most as many as `size` tells of it; within a tenant the sales of a terminal stay
/// together, in the order in which they were made.
pub(super) fn build(parcels: Vec<Parcel>, size: impl Fn(i64) -> usize) -> Vec<Batch> {
    let mut tenants: BTreeMap<i64, Vec<Parcel>> = BTreeMap::new();
    for parcel in parcels {
        let tenant = parcel.claimed.row.tenant_id;
        tenants.entry(tenant).or_default().push(parcel);
    }
    let mut batches = Vec::new();
    for (tenant_id, mut parcels) in tenants {
        parcels.sort_by_key(|parcel| {
            let row = &parcel.claimed.row;
            (row.terminal_id, row.sale.transaction_timestamp, row.id)
        });
        while !parcels.is_empty() {
            let rest = parcels.split_off(size(tenant_id).max(1).min(parcels.len()));
            batches.push(Batch { tenant_id, parcels });
            parcels = rest;
        }
    }
    batches
}
