//! Whose sales come in at present.

use std::time::Duration;

use crate::{
    base::Base,
    directory::tenant,
    fixtures::{after, recorded},
};

pub(crate) async fn tenants_are_counted_within_the_time_and_the_bound(base: &Base) {
    let store = base.store().await;
    let none = store.busiest_tenants(after(0), 100, 10).await.unwrap();
    assert!(none.tenants.is_empty() && none.whole);
    let (few, many) = (tenant(&store, "C-FEW").await, tenant(&store, "C-MANY").await);
    let rows = recorded(&store, 6).await;
    // One long ago, two of one tenant, then three of the other, one of these invalid.
    let owners = [few.id, few.id, few.id, many.id, many.id, many.id];
    for (row, owner) in rows.iter().zip(owners) {
        let id = row.id;
        base.run(&format!(
            "UPDATE transactions SET tenant_id = {owner} WHERE id = {id}"
        ))
        .await;
    }
    let old = after(2).minus(Duration::from_secs(600)).as_micros();
    let (first, last) = (rows[0].id, rows[5].id);
    for change in [
        format!("created_at = {old} WHERE id = {first}"),
        format!("validation_status = 'INVALID' WHERE id = {last}"),
    ] {
        base.run(&format!("UPDATE transactions SET {change}")).await;
    }

    let found = async |most, limit| {
        let found = store.busiest_tenants(after(0), most, limit).await.unwrap();
        let tenants = found.tenants.into_iter();
        let told: Vec<_> = tenants
            .map(|tenant| (tenant.code, tenant.sales, tenant.invalid))
            .collect();
        (told, found.whole)
    };
    let (few, many) = (("C-FEW".to_owned(), 2, 0), ("C-MANY".to_owned(), 3, 1));
    assert_eq!(found(100, 10).await, (vec![many.clone(), few], true));
    assert_eq!(found(100, 1).await, (vec![many], true));
    let newest = |code: &str, sales, invalid| (code.to_owned(), sales, invalid);
    // The bound leaves the newest two, and says that it is not all.
    assert_eq!(found(2, 10).await, (vec![newest("C-MANY", 2, 1)], false));
    // All six fit, but the first is too old: nothing before it can be missed.
    assert!(found(6, 10).await.1);
}
