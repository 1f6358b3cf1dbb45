//! The kinds of callers, each with a token of its own.

use tsms::{
    credentials::Wish,
    domain::{
        ability,
        time::Timestamp,
        token::{self, Kind},
    },
};

use crate::{
    contract,
    world::{World, credentials},
};

/// Who asks.
pub(super) struct Caller {
    pub(super) name: &'static str,
    pub(super) token: Option<String>,
    /// Whether the token is good.
    pub(super) known: bool,
    /// The till it stands for, by its place in the world.
    pub(super) till: Option<usize>,
    abilities: Vec<String>,
}

impl Caller {
    /// Whether the token carries the ability.
    pub(super) fn may(&self, ability: &str) -> bool {
        self.abilities.iter().any(|held| ability::covers(held, ability))
    }

    fn stranger(name: &'static str, token: Option<String>) -> Self {
        Self {
            name,
            token,
            known: false,
            till: None,
            abilities: Vec::new(),
        }
    }
}

/// Everyone that may ask for an operation: the abilities of a till are all that the document names for
/// tills, those of the one that lacks something all but what this operation asks for.
pub(super) async fn callers(world: &World, operation: &contract::Operation) -> Vec<Caller> {
    let named = contract::operations()
        .iter()
        .flat_map(|operation| operation.abilities().unwrap_or_default());
    let mut all: Vec<&str> = named.filter(|ability| !ability.starts_with("admin:")).collect();
    all.sort_unstable();
    all.dedup();
    let needed = operation.abilities().unwrap_or_default();
    let others: Vec<&str> = all
        .iter()
        .copied()
        .filter(|ability| !needed.contains(ability))
        .collect();

    let mut callers = vec![
        Caller::stranger("nobody", None),
        Caller::stranger(
            "one with a garbled token",
            Some("tsms_live_pos_garbled".to_owned()),
        ),
        Caller::stranger(
            "one with an unknown token",
            Some(token::mint(Kind::Terminal, "live")),
        ),
        Caller::stranger("one with a revoked token", Some(ended(world, &all, true).await)),
        Caller::stranger("one with an expired token", Some(ended(world, &all, false).await)),
        till(world, "the till", 0, &all).await,
        till(world, "the till beside it", 1, &all).await,
        till(world, "a till of another tenant", 2, &all).await,
        admin(world, "an administrator", &[ability::ADMIN_ALL]).await,
    ];
    if !needed.is_empty() {
        callers.push(till(world, "the till without the ability", 0, &others).await);
        let rest: Vec<&str> = ability::OF_ADMINS
            .into_iter()
            .filter(|held| *held != ability::ADMIN_ALL && !needed.contains(held))
            .collect();
        callers.push(admin(world, "an administrator without the ability", &rest).await);
    }
    callers
}

async fn till(world: &World, name: &'static str, till: usize, abilities: &[&str]) -> Caller {
    let (_, token) = make(world, Some(till), abilities, None).await;
    caller(name, token, Some(till), abilities)
}

async fn admin(world: &World, name: &'static str, abilities: &[&str]) -> Caller {
    let (_, token) = make(world, None, abilities, None).await;
    caller(name, token, None, abilities)
}

fn caller(name: &'static str, token: String, till: Option<usize>, abilities: &[&str]) -> Caller {
    Caller {
        name,
        token: Some(token),
        known: true,
        till,
        abilities: abilities.iter().map(|ability| (*ability).to_owned()).collect(),
    }
}

/// A token of the first till that was good once.
async fn ended(world: &World, abilities: &[&str], revoked: bool) -> String {
    let end = (!revoked).then(|| Timestamp::from_micros(1));
    let (id, plain) = make(world, Some(0), abilities, end).await;
    if revoked {
        world.store.revoke_token(id, Timestamp::now()).await.unwrap();
    }
    plain
}

/// A token, by its row id and text.
pub(super) async fn make(
    world: &World,
    till: Option<usize>,
    abilities: &[&str],
    expires_at: Option<Timestamp>,
) -> (i64, String) {
    let wish = Wish {
        terminal_id: till.map(|till| world.tills[till].terminal_id),
        name: "of the matrix".to_owned(),
        abilities: abilities.iter().map(|ability| (*ability).to_owned()).collect(),
        expires_at,
        ..Wish::default()
    };
    credentials(&world.store).issue(wish).await.unwrap()
}
