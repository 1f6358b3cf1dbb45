//! Whose sales come in at present, for a person who looks.

use serde::Serialize;

use super::{Store, StoreError, dialect::Sql, symptoms::natural, values::page};
use crate::domain::time::Timestamp;

const BUSIEST: Sql = Sql {
    name: "transactions.busiest_tenants",
    text: "SELECT t.id, t.code, t.name, s.sales, s.invalid FROM \
           (SELECT tenant_id, COUNT(*) AS sales, \
            CAST(SUM(CASE WHEN validation_status = 'INVALID' THEN 1 ELSE 0 END) AS SIGNED) AS invalid \
            FROM transactions WHERE id > ? AND created_at >= ? \
            GROUP BY tenant_id ORDER BY sales DESC, tenant_id LIMIT ?) s \
           JOIN tenants t ON t.id = s.tenant_id ORDER BY s.sales DESC, t.id",
};

/// A tenant with the sales of it that were counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BusyTenant {
    /// Row id.
    pub id: i64,
    /// Its code.
    pub code: String,
    /// Its trade name.
    pub name: String,
    /// Its sales.
    pub sales: u64,
    /// Those of them that are invalid.
    pub invalid: u64,
}

/// The tenants with most sales.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busiest {
    /// They, most sales first.
    pub tenants: Vec<BusyTenant>,
    /// Whether every sale of the time was counted, rather than only as many as may be looked at.
    pub whole: bool,
}

impl Store {
    /// The `limit` tenants with most sales recorded since `since`, of the sales with the `most` highest
    /// ids: that bounds what is read.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn busiest_tenants(
        &self,
        since: Timestamp,
        most: i64,
        limit: usize,
    ) -> Result<Busiest, StoreError> {
        let after = self.last_sale_id().await?.saturating_sub(most).max(0);
        // Ids follow the time nearly: when the first that is read is too old, none before it is missed.
        let first = self.next_sale(after).await?;
        let values = [after.into(), since.into(), page(limit)];
        let rows = self.inner.db.fetch(&BUSIEST, 1, &values).await?;
        let tenants = rows.iter().map(|row| {
            let mut cells = row.cells();
            Ok(BusyTenant {
                id: cells.int()?,
                code: cells.text()?,
                name: cells.text()?,
                sales: natural(cells.int()?),
                invalid: natural(cells.int()?),
            })
        });
        Ok(Busiest {
            tenants: tenants.collect::<Result<_, StoreError>>()?,
            whole: after == 0 || first.is_none_or(|(_, at)| at < since),
        })
    }
}
