//! The row of a void or refund: its columns, read in one order.

use super::{StoreError, cells::Cells};
use crate::domain::{
    reversal::{Reversal, ReversalKind, SaleDelivery},
    sale::ForwardState,
};

/// The columns read, in the order of [`read`]; the table goes by `r`.
macro_rules! reversal_columns {
    () => {
        "r.id, r.tenant_id, r.terminal_id, r.transaction_id, NULLIF(r.sale_id, 0), r.kind, r.reference, \
         r.amount, r.reason, r.content, r.made_at, r.state, r.attempts, NULLIF(r.settled_at, 0)"
    };
}

/// Reads the columns of `reversal_columns`.
pub(super) fn read(cells: &mut Cells<'_>) -> Result<Reversal, StoreError> {
    // Fields are read in the order they are written down here, which is the order of the columns.
    Ok(Reversal {
        id: cells.int()?,
        tenant_id: cells.int()?,
        terminal_id: cells.int()?,
        transaction_id: cells.uuid()?,
        sale_id: cells.int_or_null()?,
        kind: cells.word(ReversalKind::from_word)?,
        reference: cells.text()?,
        amount: cells.money()?,
        reason: cells.text()?,
        content: cells.digest()?,
        made_at: cells.time()?,
        state: cells.word(ForwardState::from_word)?,
        attempts: cells.count()?,
        settled_at: cells.time_or_null()?,
    })
}

/// Reads `state, attempts, due_at, last_code` of the sale's forward, which may not be there.
pub(super) fn read_delivery(cells: &mut Cells<'_>) -> Result<Option<SaleDelivery>, StoreError> {
    let state = cells.word_or_null(ForwardState::from_word)?;
    let attempts = cells.count_or_zero()?;
    let due_at = cells.time_or_null()?;
    let last_code = cells.text_or_null()?;
    Ok(state.map(|state| SaleDelivery {
        state,
        attempts,
        due_at,
        refused: last_code.is_some_and(|code| crate::domain::forward::is_refusal(&code)),
    }))
}
