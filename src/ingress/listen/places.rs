//! The bound on connections of one client address: one machine that opens all it can must not shut
//! out the mall.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::domain::network;

/// Connections by the owner of their address.
#[derive(Debug)]
pub(super) struct Places {
    each: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Places {
    /// At most `each` for one owner.
    pub(super) fn new(each: usize) -> Arc<Self> {
        Arc::new(Self {
            each,
            open: Mutex::default(),
        })
    }

    /// A place for a connection from `address`, held until it is dropped; `None` if all are taken.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let owner = network::owner(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(owner).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        Some(Place {
            places: Arc::clone(self),
            owner,
        })
    }
}

/// The right to one connection.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    owner: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.owner) {
            *count -= 1;
            // An address that is gone takes no memory.
            if *count == 0 {
                open.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_cannot_take_the_places_of_another() {
        let places = Places::new(2);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = places.take(ip("2001:db8::1")).unwrap();
        let _second = places.take(ip("2001:db8::2")).unwrap();
        assert!(places.take(ip("2001:db8::3")).is_none(), "the same 64 bits");
        assert!(places.take(ip("192.0.2.1")).is_some());
        drop(first);
        let third = places.take(ip("2001:db8::3"));
        assert!(third.is_some());
        assert_eq!(places.open.lock().unwrap().len(), 1, "who left is forgotten");
    }
}
