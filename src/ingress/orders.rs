//! The orders of a person that hold now: who is kept out and who is let through. Read from the record
//! again and again by `upkeep`; a request only looks here.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use crate::domain::{
    orders::{Order, OrderKind, Subject},
    time::Timestamp,
};

/// The orders by whom they are about.
#[derive(Debug, Default)]
pub(super) struct Orders(RwLock<Arc<HashMap<Subject, Standing>>>);

/// Until when somebody is kept out, and until when let through.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    blocked: Option<Timestamp>,
    allowed: Option<Timestamp>,
}

impl Orders {
    /// These hold now, and no others.
    pub(super) fn hold(&self, orders: &[Order]) {
        let mut standing: HashMap<Subject, Standing> = HashMap::new();
        for order in orders {
            let its = standing.entry(order.subject).or_default();
            let end = match order.kind {
                OrderKind::Block => &mut its.blocked,
                OrderKind::Allow => &mut its.allowed,
            };
            *end = (*end).max(Some(order.ends_at));
        }
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *held = Arc::new(standing);
    }

    /// Until when `subject` is kept out, if it is at `now`.
    pub(super) fn blocked(&self, subject: Subject, now: Timestamp) -> Option<Timestamp> {
        self.of(subject)?.blocked.filter(|end| *end > now)
    }

    /// Whether `subject` is let through at `now`.
    pub(super) fn allowed(&self, subject: Subject, now: Timestamp) -> bool {
        self.of(subject)
            .is_some_and(|its| its.allowed.is_some_and(|end| end > now))
    }

    fn of(&self, subject: Subject) -> Option<Standing> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.get(&subject).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_holds_until_its_end_and_the_longest_counts() {
        let at = Timestamp::from_micros;
        let order = |kind, subject, ends_at| Order {
            id: 1,
            kind,
            subject,
            owner: "duty".to_owned(),
            reason: "test".to_owned(),
            created_at: at(0),
            ends_at: at(ends_at),
            lifted_at: None,
        };
        let (till, tenant) = (Subject::Terminal(1), Subject::Tenant(1));
        let orders = Orders::default();
        orders.hold(&[
            order(OrderKind::Block, till, 10),
            order(OrderKind::Block, till, 5),
            order(OrderKind::Allow, tenant, 7),
        ]);
        assert_eq!(orders.blocked(till, at(9)), Some(at(10)));
        assert_eq!(orders.blocked(till, at(10)), None);
        assert_eq!(orders.blocked(tenant, at(1)), None);
        assert!(orders.allowed(tenant, at(6)) && !orders.allowed(tenant, at(7)));
        assert!(!orders.allowed(till, at(1)));
        orders.hold(&[]);
        assert_eq!(orders.blocked(till, at(1)), None);
    }
}
