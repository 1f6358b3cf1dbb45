//! Orders to bring dead letters back or to discard them, as rows.

use serde::Serialize;

use super::{StoreError, cells::Cells};
use crate::domain::time::Timestamp;

/// What is done with letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RedriveKind {
    /// What was given up is due again.
    Retry,
    /// It stays given up, and nobody need look at it again.
    Discard,
}

/// How an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RedriveState {
    /// It goes on with every step.
    Running,
    /// Steps do nothing until it is resumed.
    Paused,
    /// All letters were looked at.
    Done,
}

/// An order to bring letters back or to discard them.
#[derive(Clone, Debug, Serialize)]
pub struct Redrive {
    /// Row id.
    pub id: i64,
    /// What is done.
    pub kind: RedriveKind,
    /// Which letters.
    pub filter: String,
    /// Why, in a person's words.
    pub reason: String,
    /// How it stands.
    pub state: RedriveState,
    /// The newest letter it may touch: what dies while it runs is not its business.
    pub up_to: i64,
    /// The last letter it looked at.
    pub position: i64,
    /// Letters moved so far.
    pub moved: u64,
    /// Letters that matched and stayed: they cannot be brought back.
    pub kept: u64,
    /// Since when.
    pub created_at: Timestamp,
    /// Most letters moved in any second, by however many commands.
    pub rate: u32,
    /// No letter is moved before.
    pub next_at: Timestamp,
}

pub(super) fn read_redrive(cells: &mut Cells<'_>) -> Result<Redrive, StoreError> {
    Ok(Redrive {
        id: cells.int()?,
        kind: cells.word(RedriveKind::from_word)?,
        filter: cells.text()?,
        reason: cells.text()?,
        state: cells.word(RedriveState::from_word)?,
        up_to: cells.int()?,
        position: cells.int()?,
        moved: u64::try_from(cells.int()?).unwrap_or(0),
        kept: u64::try_from(cells.int()?).unwrap_or(0),
        created_at: cells.time()?,
        rate: cells.count()?,
        next_at: cells.time()?,
    })
}

impl RedriveKind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            RedriveKind::Retry => "RETRY",
            RedriveKind::Discard => "DISCARD",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [RedriveKind::Retry, RedriveKind::Discard]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

impl RedriveState {
    pub(super) const fn word(self) -> &'static str {
        match self {
            RedriveState::Running => "RUNNING",
            RedriveState::Paused => "PAUSED",
            RedriveState::Done => "DONE",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [RedriveState::Running, RedriveState::Paused, RedriveState::Done]
            .into_iter()
            .find(|state| state.word() == word)
    }
}
