//! The order of an object's members: by name, with the oddities of the sort in the field.

use std::cmp::Ordering;

use super::{super::decimal::Decimal, canonical::Member};

/// Objects of up to this many members are sorted in place on the stack; no payload has one larger.
const ON_STACK: usize = 32;

/// Hands the members in canonical order to `write`, with whether all names are plain, that is none
/// can be a number.
///
/// Plain names are sorted by their bytes in an array on the stack. That is what [`sorted`] does when
/// no name may be numeric; members of equal name do not occur, so that the kind of sort cannot matter.
pub(super) fn in_order<'m, 'a, T>(
    members: &'m [Member<'a>],
    write: impl FnOnce(&[&'m Member<'a>], bool) -> T,
) -> T {
    let plain = !members.iter().any(|(name, _)| may_be_numeric(name));
    match members.first() {
        Some(first) if plain && members.len() <= ON_STACK => {
            let mut place = [first; ON_STACK];
            for (slot, member) in place.iter_mut().zip(members) {
                *slot = member;
            }
            let ordered = place.get_mut(..members.len()).unwrap_or_default();
            ordered.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            write(ordered, plain)
        }
        _ => write(&sorted(members.iter().collect()), plain),
    }
}

/// Whether names can be numeric at all; ordinary member names are told apart by one byte.
fn may_be_numeric(name: &str) -> bool {
    name.bytes()
        .next()
        .is_some_and(|b| !b.is_ascii_alphabetic() && b != b'_' && b.is_ascii())
}

/// Members in the order of the field's sort by key: numeric names compare as numbers with each other,
/// all other pairs by bytes. That is no total order (`10` < `5x` < `9` < `10`), so it must not be
/// handed to a sort; instead each of the two kinds is sorted and the two runs are merged. Where the
/// order is consistent that gives it, and else something that depends on the names alone.
pub(super) fn sorted<'m, 'a>(members: Vec<&'m Member<'a>>) -> Vec<&'m Member<'a>> {
    if !members.iter().any(|(name, _)| may_be_numeric(name)) {
        let mut members = members;
        members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        return members;
    }
    let mut numeric = Vec::new();
    let mut plain = Vec::new();
    for member in members {
        match Numeric::of(&member.0) {
            Some(value) => numeric.push((value, member)),
            None => plain.push(member),
        }
    }
    numeric.sort_by(|(a, (a_name, _)), (b, (b_name, _))| a.compare(b).then_with(|| a_name.cmp(b_name)));
    plain.sort_by(|(a, _), (b, _)| a.cmp(b));

    let mut merged = Vec::with_capacity(numeric.len() + plain.len());
    let mut plain = plain.into_iter().peekable();
    for (_, member) in numeric {
        while let Some(before) = plain.next_if(|(name, _)| *name < member.0) {
            merged.push(before);
        }
        merged.push(member);
    }
    merged.extend(plain);
    merged
}

/// The value of a numeric name.
struct Numeric {
    double: f64,
    long: Option<i64>,
}

impl Numeric {
    fn of(name: &str) -> Option<Self> {
        Decimal::parse(name)?;
        let digits = name.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}');
        Some(Self {
            double: digits.parse().ok()?,
            long: digits.parse().ok(),
        })
    }

    /// Total: by value as doubles; among equal ones integers first, exactly.
    fn compare(&self, other: &Self) -> Ordering {
        let doubles = self.double.partial_cmp(&other.double).unwrap_or(Ordering::Equal);
        let exact = |value: &Self| (value.long.is_none(), value.long);
        doubles.then_with(|| exact(self).cmp(&exact(other)))
    }
}
