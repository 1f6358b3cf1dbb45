//! Every operation of the contract × every kind of id × every kind of caller: who may not is refused as
//! documented, learns nothing, and changes nothing. The operations come from `docs/openapi.json`, so that
//! a new one is in the matrix the day it is documented, or fails it.

mod asks;
mod callers;
mod record;
mod things;

use reqwest::header;

use crate::{
    contract, on_both_tiers,
    world::{Answer, World},
};

use asks::{Ask, Scene};
use callers::{Caller, callers};

on_both_tiers!(nobody_sees_or_changes_what_is_anothers);

/// Fewer cases than this would mean that the matrix is not made from the document any more.
const FEWEST: usize = 500;

async fn nobody_sees_or_changes_what_is_anothers(world: World) {
    let scene = Scene::set(&world).await;
    let mut cast = Vec::new();
    for operation in contract::operations() {
        cast.push((operation, callers(&world, operation).await));
    }
    let mut refused = 0;
    let before = record::contents(&world).await;
    for (operation, callers) in &cast {
        for ask in scene.asks(operation) {
            for caller in callers {
                if let Some((status, code)) = refusal(caller, &ask, operation) {
                    let answer = send(&world, operation, caller, &ask).await;
                    let case = format!("{} {} as {}", operation.method, ask.path, caller.name);
                    assert_eq!(
                        (answer.status.as_u16(), answer.code().as_str()),
                        (status, code),
                        "{case}: {answer:?}"
                    );
                    scene.assert_nothing_leaks(&answer, caller, &ask, &case);
                    refused += 1;
                }
            }
        }
    }
    world.drain().await;
    let after = record::contents(&world).await;
    for (table, rows) in &before {
        assert_eq!(Some(rows), after.get(table), "a refused request changed {table}");
    }
    assert_eq!(before.len(), after.len());

    let mut allowed = 0;
    for (operation, callers) in &cast {
        for ask in scene.asks(operation) {
            for caller in callers
                .iter()
                .filter(|caller| refusal(caller, &ask, operation).is_none())
            {
                let answer = send(&world, operation, caller, &ask).await;
                let case = format!("{} {} as {}", operation.method, ask.path, caller.name);
                assert!(
                    ![401, 403, 404].contains(&answer.status.as_u16()),
                    "{case}: {answer:?}"
                );
                scene.assert_nothing_leaks(&answer, caller, &ask, &case);
                allowed += 1;
            }
        }
    }
    assert!(
        refused + allowed >= FEWEST && allowed > 10,
        "{refused} were refused and {allowed} allowed"
    );
    world.stop().await;
}

/// What the caller must get for asking; `None` when it may.
fn refusal(caller: &Caller, ask: &Ask, operation: &contract::Operation) -> Option<(u16, &'static str)> {
    let Some(abilities) = operation.abilities() else {
        return ask.unknown.filter(|_| ask.owner.is_nobody());
    };
    if operation.documents("invalid_token") {
        // Whatever is not a good token of a till is one answer there.
        return caller.till.is_none().then_some((401, "invalid_token"));
    }
    if !caller.known {
        return Some((401, "unauthenticated"));
    }
    let lacks = |ability: &&str| !caller.may(ability);
    if abilities.iter().any(lacks) {
        return Some((403, "ability_missing"));
    }
    if operation.documents("terminal_required") && caller.till.is_none() {
        return Some((403, "terminal_required"));
    }
    ask.unknown.filter(|_| !ask.owner.admits(caller))
}

async fn send(world: &World, operation: &contract::Operation, caller: &Caller, ask: &Ask) -> Answer {
    let mut request = world
        .http
        .request(operation.method.clone(), format!("{}{}", world.base, ask.path));
    if let Some(token) = &caller.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(body) = &ask.body {
        request = request
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.clone());
    }
    Answer::of(request).await
}
