//! Every history of a small family, up to a length: a till on a network that loses answers, and a
//! thief who copies the till's token.

use std::time::Duration;

use super::*;

const OVERLAP: Duration = Duration::from_secs(10);
/// Longest history; 7 kinds of step give 7 + 49 + … + 7^LENGTH of them.
const LENGTH: usize = 6;

/// What somebody holds: a token and which of its secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    token: usize,
    secret: u32,
}

#[derive(Clone, Debug)]
struct Token {
    life: Life,
    secret: u32,
    confirmed: bool,
    successor: Option<usize>,
}

/// The family as the record keeps it, with the transitions that `store/rotation.rs` makes.
#[derive(Clone, Debug)]
struct Family {
    tokens: Vec<Token>,
    now: Timestamp,
    secrets: u32,
}

impl Family {
    fn new() -> (Self, Held) {
        let first = Token {
            life: Life::default(),
            secret: 0,
            confirmed: true,
            successor: None,
        };
        let family = Self {
            tokens: vec![first],
            now: Timestamp::from_micros(0),
            secrets: 0,
        };
        (family, Held { token: 0, secret: 0 })
    }

    /// The token behind what is presented, if its secret is the one kept.
    fn find(&self, held: Held) -> Option<&Token> {
        self.tokens
            .get(held.token)
            .filter(|token| token.secret == held.secret)
    }

    /// A request with a token; says whether it is served.
    fn present(&mut self, held: Held) -> bool {
        let Some(token) = self.find(held) else {
            return false;
        };
        match token.life.standing(self.now) {
            Standing::Good => {}
            Standing::Revoked | Standing::Expired => return false,
            Standing::Reused => {
                for token in &mut self.tokens {
                    token.life.revoked_at = Some(self.now);
                }
                return false;
            }
        }
        if !token.confirmed {
            let end = self.now.plus(OVERLAP);
            self.tokens[held.token].confirmed = true;
            let parent = self
                .tokens
                .iter_mut()
                .find(|token| token.successor == Some(held.token));
            parent.unwrap().life.retires_at = Some(end);
        }
        true
    }

    /// A refresh; gives the successor.
    fn refresh(&mut self, held: Held) -> Option<Held> {
        if !self.present(held) {
            return None;
        }
        let next = self.tokens[held.token].successor;
        let successor = match next {
            None => Successor::None,
            Some(next) if self.tokens[next].confirmed => Successor::Confirmed,
            Some(_) => Successor::Unconfirmed,
        };
        let secret = self.secrets + 1;
        let token = match (successor.replacement(), next) {
            (Replacement::Mint, _) => {
                self.tokens.push(Token {
                    life: Life::default(),
                    secret,
                    confirmed: false,
                    successor: None,
                });
                let token = self.tokens.len() - 1;
                self.tokens[held.token].successor = Some(token);
                token
            }
            (Replacement::Remint, Some(next)) => {
                self.tokens[next].secret = secret;
                next
            }
            _ => return None,
        };
        self.secrets = secret;
        Some(Held { token, secret })
    }

    fn revoked(&self) -> bool {
        self.tokens.iter().all(|token| token.life.revoked_at.is_some())
    }
}

/// The till keeps its token until a request with the next one was served.
#[derive(Clone, Debug)]
struct World {
    family: Family,
    token: Held,
    next: Option<Held>,
    stolen: Option<Held>,
    thief_acted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Use,
    Refresh,
    RefreshAnswerLost,
    OverlapPasses,
    Steal,
    ThiefUses,
    ThiefRefreshes,
}

const STEPS: [Step; 7] = [
    Step::Use,
    Step::Refresh,
    Step::RefreshAnswerLost,
    Step::OverlapPasses,
    Step::Steal,
    Step::ThiefUses,
    Step::ThiefRefreshes,
];

impl World {
    fn new() -> Self {
        let (family, token) = Family::new();
        Self {
            family,
            token,
            next: None,
            stolen: None,
            thief_acted: false,
        }
    }

    /// The till makes a request; says whether it was served.
    fn till_uses(&mut self) -> bool {
        if let Some(next) = self.next
            && self.family.present(next)
        {
            (self.token, self.next) = (next, None);
            return true;
        }
        self.family.present(self.token)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Use => {
                self.till_uses();
            }
            Step::Refresh => {
                // A till that got a token uses it; it does not ask for another one first.
                if self.next.is_some() {
                    self.till_uses();
                }
                self.next = self.family.refresh(self.token).or(self.next);
            }
            Step::RefreshAnswerLost => {
                if self.next.is_some() {
                    self.till_uses();
                }
                self.family.refresh(self.token);
            }
            Step::OverlapPasses => self.family.now = self.family.now.plus(OVERLAP),
            Step::Steal => self.stolen = Some(self.token),
            Step::ThiefUses => {
                if let Some(stolen) = self.stolen {
                    self.thief_acted = true;
                    self.family.present(stolen);
                }
            }
            Step::ThiefRefreshes => {
                if let Some(stolen) = self.stolen {
                    self.thief_acted = true;
                    if let Some(got) = self.family.refresh(stolen) {
                        self.family.present(got);
                        self.stolen = Some(got);
                    }
                }
            }
        }
    }
}

/// Calls `check` after every step of every history.
fn explore(world: &World, history: &mut Vec<Step>, check: &mut impl FnMut(&World, &[Step])) {
    check(world, history);
    if history.len() == LENGTH {
        return;
    }
    for step in STEPS {
        let mut next = world.clone();
        next.step(step);
        history.push(step);
        explore(&next, history, check);
        history.pop();
    }
}

#[test]
fn a_lost_answer_never_locks_a_till_out() {
    let mut seen = 0_u32;
    explore(&World::new(), &mut Vec::new(), &mut |world, history| {
        if !world.thief_acted {
            seen += 1;
            assert!(world.clone().till_uses(), "{history:?}: {world:?}");
        }
    });
    assert!(seen > 1000);
}

/// Beside those whose overlap runs out, there is the token in use and its successor that nobody used.
#[test]
fn once_the_overlaps_are_over_a_family_has_two_good_tokens_at_most() {
    explore(&World::new(), &mut Vec::new(), &mut |world, history| {
        let later = world.family.now.plus(OVERLAP);
        let tokens = &world.family.tokens;
        let good = tokens
            .iter()
            .filter(|token| token.life.standing(later) == Standing::Good);
        assert!(good.count() <= 2, "{history:?}: {world:?}");
    });
}

/// Till and thief never both go on with tokens of their own: once both have used theirs and the
/// overlaps are over, the family is revoked. A mere copy of the token in use is not seen by any server.
#[test]
fn a_thief_with_a_token_of_his_own_is_found_out() {
    let mut found_out = 0_u32;
    explore(&World::new(), &mut Vec::new(), &mut |world, history| {
        let mut world = world.clone();
        for _ in 0..2 {
            world.till_uses();
            world.step(Step::ThiefUses);
            world.step(Step::OverlapPasses);
        }
        if world.stolen.is_some_and(|stolen| stolen != world.token) {
            assert!(world.family.revoked(), "{history:?}: {world:?}");
            found_out += 1;
        }
    });
    assert!(found_out > 1000, "{found_out}");
}

#[test]
fn standing_follows_the_first_fact_that_ends_it() {
    let at = Timestamp::from_micros;
    let life = |expires: Option<i64>, revoked: Option<i64>, retires: Option<i64>| Life {
        expires_at: expires.map(at),
        revoked_at: revoked.map(at),
        retires_at: retires.map(at),
    };
    let now = at(10);
    for (life, standing) in [
        (life(None, None, None), Standing::Good),
        (life(Some(11), None, Some(11)), Standing::Good),
        (life(Some(10), None, None), Standing::Expired),
        (life(None, None, Some(10)), Standing::Reused),
        (life(Some(10), None, Some(10)), Standing::Expired),
        // Revoked is revoked, whatever the clock of the one who did it said.
        (life(Some(10), Some(99), Some(10)), Standing::Revoked),
    ] {
        assert_eq!(life.standing(now), standing, "{life:?}");
    }
}
