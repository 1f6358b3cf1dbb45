//! Voids and refunds of sales, and what the web application has to hear of them. All of it is pure.

use uuid::Uuid;

use super::{checksum::Digest, money::Money, sale::ForwardState, time::Timestamp};

/// What takes a sale back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReversalKind {
    /// All of it: the sale never counted. One a sale.
    Void,
    /// Some or all of its amount: the sale stands, money went back.
    Refund,
}

impl ReversalKind {
    /// The word kept in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ReversalKind::Void => "VOID",
            ReversalKind::Refund => "REFUND",
        }
    }

    /// The word in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            ReversalKind::Void => "void",
            ReversalKind::Refund => "refund",
        }
    }

    /// The kind a stored word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Void, Self::Refund]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// A void or refund as recorded. Apart from its delivery it never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reversal {
    /// Row id, of the series of the transactions: no sale has the same.
    pub id: i64,
    /// Owner.
    pub tenant_id: i64,
    /// Who sold and takes back.
    pub terminal_id: i64,
    /// The terminal's id of the sale.
    pub transaction_id: Uuid,
    /// Row id of the sale; `None` while only its submission is known.
    pub sale_id: Option<i64>,
    /// Void or refund.
    pub kind: ReversalKind,
    /// The terminal's id of a refund; empty for a void, and where the till sent none.
    pub reference: String,
    /// What went back; zero for a void.
    pub amount: Money,
    /// Why, in the till's words.
    pub reason: String,
    /// Digest of what was asked for: equal digests mean the same request.
    pub content: Digest,
    /// When it was recorded.
    pub made_at: Timestamp,
    /// How far its delivery has come.
    pub state: ForwardState,
    /// Delivery attempts so far.
    pub attempts: u32,
    /// When the delivery ended, either way.
    pub settled_at: Option<Timestamp>,
}

/// How the delivery of the sale itself stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaleDelivery {
    /// Its state.
    pub state: ForwardState,
    /// Attempts counted; none means that the sale never left, unless it is being sent: the first one may be
    /// counted at its end.
    pub attempts: u32,
    /// While it is being sent: when the claim of its worker ends. Else when it is due.
    pub due_at: Option<Timestamp>,
    /// The web application said that it will never take the sale.
    pub refused: bool,
}

/// What is to be done about a reversal towards the web application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing: it does not hold the sale and never will.
    Silence,
    /// End the delivery of the sale, which is void now; and tell of the void if the sale may have
    /// arrived.
    Withdraw {
        /// An attempt was made: the web application may hold the sale.
        tell: bool,
    },
    /// Look again then: the sale is on its way.
    Wait(Timestamp),
    /// Tell.
    Tell,
}

/// Decides what the web application has to hear of a reversal. `sale` is the delivery of the sale,
/// if it has one: a sale that is undecided or INVALID has none, and a void sale will never get one.
#[must_use]
pub fn fate(kind: ReversalKind, sale: Option<SaleDelivery>, now: Timestamp) -> Fate {
    let Some(sale) = sale else {
        return Fate::Silence;
    };
    let soon = sale.due_at.map_or(now, |due_at| due_at.max(now));
    let being_sent = sale.state == ForwardState::Sending && sale.due_at.is_some_and(|end| end > now);
    match (kind, sale.state) {
        (_, ForwardState::Forwarded) => Fate::Tell,
        (_, ForwardState::Dead) if sale.refused => Fate::Silence,
        (_, ForwardState::Dead) => Fate::Tell,
        (_, ForwardState::Withdrawn) if sale.attempts == 0 => Fate::Silence,
        (_, ForwardState::Withdrawn) => Fate::Tell,
        (ReversalKind::Void, ForwardState::Sending) if being_sent => Fate::Wait(soon),
        // A worker that died left it, or an attempt failed: whether it arrived is not known.
        (ReversalKind::Void, ForwardState::Sending | ForwardState::Pending) => Fate::Withdraw {
            tell: sale.attempts > 0 || sale.state == ForwardState::Sending,
        },
        // The sale itself must arrive first.
        (ReversalKind::Refund, ForwardState::Sending | ForwardState::Pending) => Fate::Wait(soon),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000);
    const LATER: Timestamp = Timestamp::from_micros(2_000);
    const EARLIER: Timestamp = Timestamp::from_micros(500);

    fn sale(state: ForwardState, attempts: u32, due_at: Option<Timestamp>) -> Option<SaleDelivery> {
        Some(SaleDelivery {
            state,
            attempts,
            due_at,
            refused: false,
        })
    }

    #[test]
    fn what_never_left_is_never_told() {
        use ForwardState::{Pending, Withdrawn};
        let void = |sale| fate(ReversalKind::Void, sale, NOW);
        assert_eq!(void(None), Fate::Silence);
        assert_eq!(void(sale(Pending, 0, Some(NOW))), Fate::Withdraw { tell: false });
        assert_eq!(void(sale(Withdrawn, 0, None)), Fate::Silence);
    }

    #[test]
    fn what_may_have_arrived_is_told() {
        use ForwardState::{Dead, Forwarded, Pending, Sending, Withdrawn};
        let void = |sale| fate(ReversalKind::Void, sale, NOW);
        assert_eq!(void(sale(Forwarded, 1, None)), Fate::Tell);
        assert_eq!(void(sale(Dead, 25, None)), Fate::Tell);
        assert_eq!(void(sale(Withdrawn, 1, None)), Fate::Tell);
        let tell = Fate::Withdraw { tell: true };
        assert_eq!(void(sale(Pending, 1, Some(LATER))), tell);
        assert_eq!(void(sale(Sending, 1, Some(EARLIER))), tell, "its worker died");
        assert_eq!(void(sale(Sending, 0, Some(EARLIER))), tell, "before it counted");
        assert_eq!(void(sale(Sending, 0, Some(LATER))), Fate::Wait(LATER));
        assert_eq!(void(sale(Sending, 1, Some(LATER))), Fate::Wait(LATER));
    }

    #[test]
    fn a_refund_comes_after_its_sale() {
        use ForwardState::{Forwarded, Pending, Sending};
        let refund = |sale| fate(ReversalKind::Refund, sale, NOW);
        assert_eq!(refund(sale(Pending, 0, Some(LATER))), Fate::Wait(LATER));
        assert_eq!(refund(sale(Pending, 3, Some(EARLIER))), Fate::Wait(NOW));
        assert_eq!(refund(sale(Sending, 1, Some(LATER))), Fate::Wait(LATER));
        assert_eq!(refund(sale(Forwarded, 1, None)), Fate::Tell);
    }

    #[test]
    fn a_sale_that_was_refused_leaves_nothing_to_take_back() {
        for kind in [ReversalKind::Void, ReversalKind::Refund] {
            let refused = SaleDelivery {
                state: ForwardState::Dead,
                attempts: 1,
                due_at: None,
                refused: true,
            };
            assert_eq!(fate(kind, Some(refused), NOW), Fate::Silence);
            assert_eq!(ReversalKind::from_word(kind.as_str()), Some(kind));
        }
        assert_eq!(ReversalKind::from_word("SALE"), None);
    }
}
