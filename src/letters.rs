//! Dead letters by cause, for the admin API and the command line alike: counted before anything is done.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    domain::{
        dead_letter::{Filter, Letter},
        time::Timestamp,
        trace::{self, TraceContext},
    },
    store::{Store, StoreError},
};

/// Tries shown of a letter, the newest ones.
pub const MOST_TRIES: usize = 200;

/// Letters read at a time.
const PAGE: usize = 1000;
/// Most causes told apart; letters of further ones are counted together.
const MOST_CAUSES: usize = 1000;

/// Where what a letter is about came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The `X-Request-Id` of the request that brought it in; of a void or refund, of that of its sale.
    pub request_id: Option<String>,
    /// The trace which that request is a part of.
    pub trace_id: Option<String>,
}

/// Where what a letter is about came from.
///
/// # Errors
/// See [`StoreError`].
pub async fn origin(store: &Store, letter: &Letter) -> Result<Origin, StoreError> {
    let carried = store.request_of(letter).await?;
    Ok(carried.map_or_else(Origin::default, |carried| Origin {
        request_id: Some(trace::request_id(&carried).to_owned()),
        trace_id: trace::context(&carried).map(TraceContext::trace_id),
    }))
}

/// Letters of one cause.
#[derive(Clone, Debug, Serialize)]
pub struct Cause {
    /// Its fingerprint; `others` for all beyond the bound.
    pub cause: String,
    /// The stage of the first one.
    pub stage: String,
    /// The code of the first one.
    pub code: String,
    /// How many there are.
    pub letters: u64,
    /// Since when.
    pub oldest: Timestamp,
    /// Until when.
    pub newest: Timestamp,
    /// What one of them says.
    pub example: String,
}

/// Letters that were looked at.
#[derive(Clone, Debug)]
pub struct Looked<T> {
    /// What was made of them.
    pub found: T,
    /// The last letter that was looked at, where there are more.
    pub more: Option<i64>,
}

/// Calls `visit` with every letter that is meant, in order of id, until it says that it has enough; looks at no
/// more than `most`. The last letter looked at, where there may be more.
///
/// # Errors
/// See [`StoreError`].
pub async fn each(
    store: &Store,
    filter: &Filter,
    mut after: i64,
    most: usize,
    mut visit: impl FnMut(Letter) -> bool,
) -> Result<Option<i64>, StoreError> {
    let mut looked = 0;
    while looked < most {
        let page = PAGE.min(most - looked);
        let letters = store.dead_letters(after, page).await?;
        let last_page = letters.len() < page;
        looked += letters.len();
        for letter in letters {
            after = letter.id;
            if filter.matches(&letter) && !visit(letter) {
                return Ok(Some(after));
            }
        }
        if last_page {
            return Ok(None);
        }
    }
    Ok(Some(after))
}

/// At most `limit` of the letters that are meant, after the id `after`; looks at no more than `most`.
///
/// # Errors
/// See [`StoreError`].
pub async fn page(
    store: &Store,
    filter: &Filter,
    after: i64,
    limit: usize,
    most: usize,
) -> Result<Looked<Vec<Letter>>, StoreError> {
    let mut found = Vec::new();
    let more = each(store, filter, after, most, |letter| {
        found.push(letter);
        found.len() < limit
    })
    .await?;
    Ok(Looked { found, more })
}

/// The letters that are meant by cause, most first; looks at no more than `most`.
///
/// # Errors
/// See [`StoreError`].
pub async fn causes(store: &Store, filter: &Filter, most: usize) -> Result<Looked<Vec<Cause>>, StoreError> {
    let mut causes: BTreeMap<String, Cause> = BTreeMap::new();
    let more = each(store, filter, 0, most, |letter| {
        let mut cause = letter.cause();
        if causes.len() >= MOST_CAUSES && !causes.contains_key(&cause) {
            "others".clone_into(&mut cause);
        }
        let entry = causes.entry(cause.clone()).or_insert_with(|| Cause {
            cause,
            stage: letter.stage,
            code: letter.code,
            letters: 0,
            oldest: letter.created_at,
            newest: letter.created_at,
            example: letter.detail,
        });
        entry.letters += 1;
        entry.oldest = entry.oldest.min(letter.created_at);
        entry.newest = entry.newest.max(letter.created_at);
        true
    })
    .await?;
    let mut found: Vec<Cause> = causes.into_values().collect();
    found.sort_by_key(|cause| std::cmp::Reverse(cause.letters));
    Ok(Looked { found, more })
}
