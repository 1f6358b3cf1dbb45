//! Looks again at what differed: a difference that is told is one of both sides at rest.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Problem, Report, Run, TOO_MANY,
    client::{Range, Scope},
    parts::Part,
};
use crate::{
    domain::{
        control::{Delivery, Held, Standing},
        sale::ForwardState,
    },
    store::LostItem,
};

/// What kind of difference it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The web application took it and does not hold it.
    Missing,
    /// It was never taken: its delivery is a dead letter.
    GivenUp,
    /// It is held, and should not be.
    Extra,
    /// Held in an older state: a void or refund that it took is not in effect there.
    Behind,
    /// Held with another amount or in a state that the record does not know.
    Differs,
}

/// One sale that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The tenant that was asked about.
    pub tenant_id: i64,
    /// The sale.
    pub tsms_id: i64,
    /// What is wrong.
    pub kind: Kind,
    /// What the web application should hold.
    pub expected: Option<Held>,
    /// What it holds.
    pub held: Option<Held>,
    /// For a person.
    pub note: String,
}

impl Kind {
    /// The word that is printed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Missing => "missing",
            Kind::GivenUp => "given up",
            Kind::Extra => "extra",
            Kind::Behind => "behind",
            Kind::Differs => "differs",
        }
    }
}

/// Tells of the sales of a tenant whose delivery was given up and is still a dead letter.
pub(super) async fn given_up(run: &Run<'_>, part: &Part, report: &mut Report) -> Result<(), Problem> {
    for (id, code) in run.store.letters_of_sales(&part.given_up).await? {
        tell(
            run,
            report,
            Difference {
                tenant_id: part.tenant.id,
                tsms_id: id,
                kind: Kind::GivenUp,
                expected: None,
                held: None,
                note: format!("dead letter: {code}; see tsms dlq"),
            },
        )?;
    }
    Ok(())
}

/// Looks at sales that differed again: first here, then there, then here. What moved meanwhile, or is
/// under way, is no difference.
pub(super) async fn suspects(
    run: &mut Run<'_>,
    scope: Scope,
    suspects: &[i64],
    report: &mut Report,
) -> Result<(), Problem> {
    for ids in suspects.chunks(run.config.reconcile.fan_out.max(1)) {
        let before = run.store.deliveries(ids).await?;
        let ranges: Vec<Range> = (ids.iter())
            .map(|id| Range {
                after: id - 1,
                up_to: *id,
            })
            .collect();
        let said = run.ask(scope, &ranges, 1).await?;
        let after = run.store.deliveries(ids).await?;
        let mut theirs: BTreeMap<i64, Held> = BTreeMap::new();
        for said in said {
            theirs.extend(said.items.into_iter().map(|held| (held.id, held)));
        }
        for id in ids {
            let (ours, held) = (before.get(id), theirs.get(id));
            if ours != after.get(id) {
                report.under_way += 1;
                continue;
            }
            match judge(scope, ours, held) {
                Judged::Same => {}
                Judged::UnderWay => report.under_way += 1,
                Judged::Wrong(kind, expected, note) => {
                    let difference = Difference {
                        tenant_id: scope.tenant_id,
                        tsms_id: *id,
                        kind,
                        expected,
                        held: held.copied(),
                        note,
                    };
                    tell(run, report, difference)?;
                }
            }
        }
    }
    Ok(())
}

fn tell(run: &Run<'_>, report: &mut Report, difference: Difference) -> Result<(), Problem> {
    if report.differences.len() >= run.config.reconcile.max_differences {
        return Err(TOO_MANY);
    }
    report.differences.push(difference);
    Ok(())
}

enum Judged {
    Same,
    UnderWay,
    /// The kind, what should be held, and words for a person.
    Wrong(Kind, Option<Held>, String),
}

fn judge(scope: Scope, ours: Option<&Delivery>, theirs: Option<&Held>) -> Judged {
    let wrong = |kind, expected, note: &str| Judged::Wrong(kind, expected, note.to_owned());
    let Some(ours) = ours else {
        return match theirs {
            None => Judged::Same,
            Some(_) => wrong(Kind::Extra, None, "no valid sale has this id here"),
        };
    };
    let of_scope = ours.tenant_id == scope.tenant_id && scope.from <= ours.sold_at && ours.sold_at < scope.to;
    if !of_scope {
        return match theirs {
            None => Judged::Same,
            Some(_) => wrong(Kind::Extra, None, "a sale of another tenant or day here"),
        };
    }
    match (ours.standing(), theirs) {
        (Standing::UnderWay, _) => Judged::UnderWay,
        (Standing::Nothing, None) | (Standing::GivenUp, None) => Judged::Same,
        (Standing::Nothing, Some(_)) => wrong(Kind::Extra, None, "was never sent, or was refused"),
        (Standing::GivenUp, Some(_)) => wrong(
            Kind::Extra,
            None,
            "was given up here but arrived; tsms dlq retry settles it",
        ),
        (Standing::Holds(held), Some(theirs)) if held == *theirs => Judged::Same,
        (Standing::Holds(held), None) => wrong(Kind::Missing, Some(held), ""),
        (Standing::Holds(held), Some(theirs)) => {
            let dead = (ours.taken.iter()).any(|one| one.state == ForwardState::Dead);
            let behind = held.amount == theirs.amount
                && !theirs.voided
                && (held.voided || held.refunded > theirs.refunded);
            let note = match (behind, dead) {
                (true, true) => "its void or refund is a dead letter; see tsms dlq",
                (true, false) => "",
                (false, _) => "look into it by hand: amounts are never changed",
            };
            wrong(
                if behind { Kind::Behind } else { Kind::Differs },
                Some(held),
                note,
            )
        }
    }
}

impl Difference {
    /// What the web application has to be told again; `None` where that is no help.
    #[must_use]
    pub fn lost(&self) -> Option<LostItem> {
        let expected = self.expected?;
        match self.kind {
            Kind::Missing | Kind::Behind if expected.voided => Some(LostItem::Void(self.tsms_id)),
            Kind::Missing => Some(LostItem::Sale(self.tsms_id)),
            Kind::Behind => Some(LostItem::Refunds(self.tsms_id)),
            Kind::GivenUp | Kind::Extra | Kind::Differs => None,
        }
    }
}
