//! Cuts long lists into statements of few sizes, and checks what is too long for its column.

use super::{Store, StoreError};

/// Up to here every size of a statement is one of its own: the sets of a moderate load.
const EVERY: usize = 16;

/// The sizes of statements: each up to [`EVERY`], then 24, 32, 48, 64, … up to `most`, a power of two. Few enough
/// to keep each prepared, close enough that little is left over. This is the largest one not above `left`.
pub(super) const fn piece(left: usize, most: usize) -> usize {
    if left >= most {
        return most;
    }
    if left <= EVERY {
        return left;
    }
    let power = 1 << left.ilog2();
    if left >= power + power / 2 {
        power + power / 2
    } else {
        power
    }
}

/// The smallest size not below `left`, or `most`.
const fn room(left: usize, most: usize) -> usize {
    let below = piece(left, most);
    if below == left || left >= most {
        return below;
    }
    // Above a power of two comes one and a half of it, above that the next power.
    if below.is_power_of_two() {
        below + below / 2
    } else {
        below / 3 * 4
    }
}

impl Store {
    /// Cuts a list into pieces of the sizes of statements, longest first: a list of 300 gives 256, 32
    /// and 12. So a statement has 24 texts at most, and each stays prepared.
    pub(super) fn pieces<'a, T>(&self, all: &'a [T]) -> impl Iterator<Item = &'a [T]> + use<'a, T> {
        let most = self.inner.rows;
        let mut rest = all;
        std::iter::from_fn(move || {
            let (now, later) = rest.split_at_checked(piece(rest.len(), most))?;
            rest = later;
            (!now.is_empty()).then_some(now)
        })
    }
}

impl Store {
    /// Cuts a list into statements of at most `statement_rows`, the last one filled up to the next size
    /// by naming its last item again: for statements to which that makes no difference, one serves
    /// where [`Store::pieces`] needs several. Gives with each how many of its items are in the list.
    pub(super) fn padded<'a, T: Clone>(
        &self,
        all: &'a [T],
    ) -> impl Iterator<Item = (usize, Vec<T>)> + use<'a, T> {
        let most = self.inner.rows;
        all.chunks(most.max(1)).map(move |chunk| {
            let mut filled = chunk.to_vec();
            if let Some(last) = chunk.last() {
                filled.resize(room(chunk.len(), most), last.clone());
            }
            (chunk.len(), filled)
        })
    }
}

/// Refuses a text that its column would not hold. SQLite would take it, so both are asked here.
pub(super) fn fits(what: &str, text: &str, characters: usize) -> Result<(), StoreError> {
    // A text has no more characters than bytes; most are short.
    if text.len() <= characters || text.chars().count() <= characters {
        return Ok(());
    }
    Err(StoreError::Unfit(format!(
        "{what} is longer than {characters} characters"
    )))
}

/// Refuses a word that is longer than its column or has other than ASCII characters.
pub(super) fn fits_word(what: &str, word: &str, characters: usize) -> Result<(), StoreError> {
    if word.is_ascii() && word.len() <= characters {
        return Ok(());
    }
    Err(StoreError::Unfit(format!(
        "{what} is not an ASCII word of at most {characters} characters"
    )))
}

/// The beginning of a text for a person, where losing its end is better than losing the row.
pub(super) fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_hundred_rows_are_three_statements() {
        let mut left = 300;
        let mut sizes = Vec::new();
        while left > 0 {
            let size = piece(left, 256);
            sizes.push(size);
            left -= size;
        }
        assert_eq!(sizes, [256, 32, 12]);
        assert_eq!(piece(0, 256), 0);
        assert_eq!(piece(1, 1), 1);
        assert_eq!(piece(1000, 64), 64);
    }

    #[test]
    fn a_list_is_filled_up_to_the_next_size_and_never_cut() {
        let sizes: Vec<usize> = (1..=256).filter(|size| piece(*size, 256) == *size).collect();
        assert_eq!(sizes.len(), 24);
        for left in 1..=256 {
            let next = sizes.iter().find(|size| **size >= left).copied();
            assert_eq!(Some(room(left, 256)), next, "{left}");
        }
        assert_eq!(room(1000, 64), 64);
    }

    #[test]
    fn lengths_count_characters_not_bytes() {
        assert!(fits("x", "ñandú", 5).is_ok());
        assert!(fits("x", "ñandús", 5).is_err());
        assert!(fits_word("x", "ñ", 5).is_err());
        assert_eq!(cut("ñandú", 2), "ña");
    }
}
