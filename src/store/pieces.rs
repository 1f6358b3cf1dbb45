//! Cuts long lists into statements of few sizes, and checks what is too long for its column.

use super::{Store, StoreError};

/// The largest power of two that is neither above `left` nor above `most` (itself one).
pub(super) const fn piece(left: usize, most: usize) -> usize {
    if left >= most || left == 0 {
        return if left == 0 { 0 } else { most };
    }
    1 << left.ilog2()
}

impl Store {
    /// Cuts a list into pieces whose lengths are powers of two, longest first: a list of 300 gives
    /// 256, 32, 8 and 4. So a statement has nine texts at most, and each stays prepared.
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
    fn three_hundred_rows_are_four_statements() {
        let mut left = 300;
        let mut sizes = Vec::new();
        while left > 0 {
            let size = piece(left, 256);
            sizes.push(size);
            left -= size;
        }
        assert_eq!(sizes, [256, 32, 8, 4]);
        assert_eq!(piece(0, 256), 0);
        assert_eq!(piece(1, 1), 1);
        assert_eq!(piece(1000, 64), 64);
    }

    #[test]
    fn lengths_count_characters_not_bytes() {
        assert!(fits("x", "ñandú", 5).is_ok());
        assert!(fits("x", "ñandús", 5).is_err());
        assert!(fits_word("x", "ñ", 5).is_err());
        assert_eq!(cut("ñandú", 2), "ña");
    }
}
