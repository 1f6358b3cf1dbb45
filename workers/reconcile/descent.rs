//! From totals that differ down to the sales that make them differ.

use super::{
    Problem, Run, TOO_MANY,
    client::{Range, Scope},
};
use crate::domain::control::{HIGHEST_ID, Held, Totals};

/// The ids of the sales, in no order, of which either side holds something else than the other, as far as
/// one look tells. `ours` is in order of id.
pub(super) async fn suspects(
    run: &mut Run<'_>,
    scope: Scope,
    ours: &[Held],
    theirs: Totals,
) -> Result<Vec<i64>, Problem> {
    let (leaf, fan_out) = (run.config.reconcile.leaf, run.config.reconcile.fan_out);
    let most = run.config.reconcile.max_differences;
    let mut found = Vec::new();
    let all = Range {
        after: 0,
        up_to: HIGHEST_ID,
    };
    let mut open = vec![(all, theirs.count)];
    // Ends: every cut leaves fewer of our sales in a range, and requests are bounded.
    while let Some((range, count)) = open.pop() {
        let mine = within(ours, range);
        if count == 0 {
            found.extend(mine.iter().map(|held| held.id));
        } else if mine.len() < 2 || (mine.len() <= leaf && count <= leaf.try_into().unwrap_or(u64::MAX)) {
            list(run, scope, range, mine, &mut found).await?;
        } else {
            let cuts = cut(range, mine, fan_out);
            let said = run.ask(scope, &cuts, 0).await?;
            for (range, said) in cuts.into_iter().zip(said) {
                if said.totals != Totals::of(within(ours, range)) {
                    open.push((range, said.totals.count));
                }
            }
        }
        if found.len() > most {
            return Err(TOO_MANY);
        }
    }
    Ok(found)
}

/// Those of `ours` that are in a range.
fn within(ours: &[Held], range: Range) -> &[Held] {
    let from = ours.partition_point(|held| held.id <= range.after);
    let to = ours.partition_point(|held| held.id <= range.up_to);
    ours.get(from..to).unwrap_or_default()
}

/// Cuts a range into at most `parts` with about as many of our sales in each. `mine` are those in the
/// range, at least two.
fn cut(range: Range, mine: &[Held], parts: usize) -> Vec<Range> {
    let each = mine.len().div_ceil(parts.max(2)).max(1);
    let mut cuts = Vec::with_capacity(parts);
    let mut after = range.after;
    for part in mine.chunks(each) {
        if let Some(last) = part.last() {
            cuts.push(Range {
                after,
                up_to: last.id,
            });
            after = last.id;
        }
    }
    // What lies above our last sale is in the range as well.
    if let Some(last) = cuts.last_mut() {
        last.up_to = range.up_to;
    }
    cuts
}

/// Reads the web application's list of a range, page by page, and compares sale by sale.
async fn list(
    run: &mut Run<'_>,
    scope: Scope,
    range: Range,
    mine: &[Held],
    found: &mut Vec<i64>,
) -> Result<(), Problem> {
    let (leaf, most) = (run.config.reconcile.leaf, run.config.reconcile.max_differences);
    let mut rest = range;
    // Ends: every page begins above the one before, and requests are bounded.
    loop {
        let said = run.ask_one(scope, rest, leaf).await?;
        let whole = said.totals.count == u64::try_from(said.items.len()).unwrap_or(u64::MAX);
        let seen = match said.items.last() {
            Some(last) if !whole => Range {
                after: rest.after,
                up_to: last.id,
            },
            None if !whole => {
                return Err(Problem::Answer("it counts sales but lists none".to_owned()));
            }
            _ => rest,
        };
        found.extend(different(within(mine, seen), &said.items));
        if whole || found.len() > most {
            return Ok(());
        }
        rest.after = seen.up_to;
    }
}

/// The ids at which two lists in order of id differ.
fn different(ours: &[Held], theirs: &[Held]) -> Vec<i64> {
    let mut ids = Vec::new();
    let (mut ours, mut theirs) = (ours.iter().peekable(), theirs.iter().peekable());
    loop {
        match (ours.peek(), theirs.peek()) {
            (None, None) => return ids,
            (Some(one), Some(other)) if one.id == other.id => {
                if one != other {
                    ids.push(one.id);
                }
                ours.next();
                theirs.next();
            }
            (Some(one), other) if other.is_none_or(|other| one.id < other.id) => {
                ids.push(one.id);
                ours.next();
            }
            (_, Some(other)) => {
                ids.push(other.id);
                theirs.next();
            }
            (Some(_), None) => return ids,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Money;

    fn held(id: i64, minor: i64) -> Held {
        Held {
            id,
            amount: Money::from_minor(minor),
            refunded: Money::ZERO,
            voided: false,
        }
    }

    #[test]
    fn lists_are_compared_sale_by_sale() {
        let ours = [held(1, 10), held(3, 10), held(4, 10), held(9, 10)];
        let theirs = [held(2, 10), held(3, 11), held(4, 10)];
        assert_eq!(different(&ours, &theirs), [1, 2, 3, 9]);
        assert_eq!(different(&ours, &ours), [0; 0]);
        assert_eq!(different(&[], &theirs), [2, 3, 4]);
    }

    proptest::proptest! {
        /// Every cut makes smaller parts that touch and leave nothing out.
        #[test]
        fn cuts_cover_a_range(
            ids in proptest::collection::btree_set(1_i64..10_000, 2..200),
            parts in 1_usize..40,
        ) {
            let mine: Vec<Held> = ids.iter().map(|id| held(*id, 1)).collect();
            let range = Range { after: 0, up_to: HIGHEST_ID };
            let cuts = cut(range, &mine, parts);
            proptest::prop_assert_eq!(cuts.first().unwrap().after, range.after);
            proptest::prop_assert_eq!(cuts.last().unwrap().up_to, range.up_to);
            for pair in cuts.windows(2) {
                proptest::prop_assert_eq!(pair[0].up_to, pair[1].after);
            }
            for cut in &cuts {
                proptest::prop_assert!(within(&mine, *cut).len() < mine.len());
            }
        }
    }
}
