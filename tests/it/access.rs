//! The life of a token: enrolment, login, refresh, reuse, revocation, on both tiers.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, interval};
use tsms::{
    credentials::Wish,
    domain::{checksum::Version, directory::TerminalStatus, time::Timestamp},
    standin::sim::SimTerminal,
    store,
};
use uuid::Uuid;

use crate::{
    bodies::sale,
    on_both_tiers,
    world::{Answer, DEADLINE, World, credentials, issue},
};

on_both_tiers!(
    a_till_enrols_sells_refreshes_and_is_revoked,
    one_of_many_registrations_with_a_code_wins,
    a_registration_can_be_repeated_until_its_token_is_used,
    a_lost_answer_to_a_refresh_locks_nobody_out,
    a_wrong_key_and_an_unknown_serial_are_one_answer,
    a_login_ends_those_before_it,
    a_token_works_from_its_networks_only,
    a_terminal_that_is_switched_off_is_told_so,
    plain_hashes_of_the_first_version_go_on_working,
);

impl World {
    pub(crate) async fn call(&self, method: &str, path: &str, token: &str, body: Value) -> Answer {
        let method = method.parse().unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        Answer::of(request).await
    }

    pub(crate) async fn me(&self, token: &str) -> Answer {
        self.call("GET", "/api/v1/auth/me", token, Value::Null).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.call("POST", "/api/v1/auth/refresh", token, Value::Null)
            .await
    }

    async fn register_with(&self, code: &str, serial: &str, registration_id: Uuid) -> Answer {
        let body = json!({
            "enrolment_code": code,
            "serial_number": serial,
            "registration_id": registration_id,
        });
        self.call("POST", "/api/v1/auth/register", "", body).await
    }

    async fn log_in(&self, serial: &str, key: &str) -> Answer {
        let body = json!({ "serial_number": serial, "api_key": key });
        self.call("POST", "/api/v1/auth/terminal", "", body).await
    }

    async fn enrol(&self, serial: &str) -> String {
        let lasts = Duration::from_secs(60);
        let maker = credentials(&self.store);
        maker.enrol(self.till().tenant_id, serial, lasts).await.unwrap().0
    }

    /// Waits until the token is answered with this status at `base`.
    pub(crate) async fn until_at(&self, base: &str, token: &str, status: u16) -> Answer {
        let deadline = Instant::now() + DEADLINE;
        let mut turn = interval(Duration::from_millis(20));
        loop {
            turn.tick().await;
            let request = self.http.get(format!("{base}/api/v1/auth/me")).bearer_auth(token);
            let answer = Answer::of(request).await;
            if answer.status == status {
                return answer;
            }
            assert!(Instant::now() < deadline, "still {answer:?}, not {status}");
        }
    }

    pub(crate) async fn until(&self, token: &str, status: u16) -> Answer {
        self.until_at(&self.base, token, status).await
    }
}

/// The token in the answer to a request for one.
pub(crate) fn granted(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["data"]["access_token"].as_str().unwrap().to_owned()
}

async fn a_till_enrols_sells_refreshes_and_is_revoked(world: World) {
    let code = world.enrol("SN-NEW").await;
    let registration = Uuid::new_v4();
    let stranger = world.register_with(&code, "SN-OTHER", registration).await;
    assert_eq!(
        (stranger.status.as_u16(), stranger.code().as_str()),
        (401, "enrolment_refused")
    );
    let answer = world.register_with(&code, "SN-NEW", registration).await;
    let token = granted(&answer);
    let data = answer.json()["data"].clone();
    assert_eq!(data["token_type"], "Bearer");
    assert_eq!(data["tenant_id"], world.till().tenant_id);
    assert_eq!(data["terminal_config"]["notifications_enabled"], false);
    assert!(data["expires_in"].as_u64().unwrap() > 80 * 24 * 3600);
    assert!(token.starts_with("tsms_live_pos_"), "{token}");

    let till = SimTerminal {
        terminal_id: data["terminal_id"].as_i64().unwrap(),
        tenant_id: world.till().tenant_id,
        serial_number: "SN-NEW".to_owned(),
        customer_code: world.till().customer_code.clone(),
        token: token.clone(),
    };
    let sold = world.post(&till, sale(&till, Version::V21, 1).body).await;
    assert_eq!(sold.status, 202, "{sold:?}");
    let me = world.me(&token).await.json();
    assert_eq!(me["data"]["terminal"]["serial_number"], "SN-NEW");
    assert_eq!(me["data"]["terminal"]["status"], "active");
    let used = world.register_with(&code, "SN-NEW", registration).await;
    assert_eq!(
        (used.status.as_u16(), used.code().as_str()),
        (409, "enrolment_used")
    );

    let next = granted(&world.refresh(&token).await);
    assert_ne!(next, token);
    assert_eq!(world.me(&next).await.status, 200);
    assert_eq!(world.me(&token).await.status, 200, "its overlap has begun");
    let again = world.refresh(&token).await;
    assert_eq!(
        (again.status.as_u16(), again.code().as_str()),
        (409, "token_replaced")
    );

    let shown = world
        .call("GET", "/api/v1/tokens/introspect", &next, Value::Null)
        .await;
    assert_eq!(shown.json()["data"]["active"], true, "{shown:?}");
    assert_eq!(shown.json()["data"]["terminal_uid"], "SN-NEW");
    for bad in ["", "garbage", &next.replace("live", "test")] {
        let refused = world
            .call("GET", "/api/v1/tokens/introspect", bad, Value::Null)
            .await;
        assert_eq!(
            (refused.status.as_u16(), refused.code().as_str()),
            (401, "invalid_token")
        );
    }

    let tokens = world
        .store
        .list_tokens(Some(till.terminal_id), 0, 10)
        .await
        .unwrap();
    assert_eq!(tokens.len(), 2);
    assert_eq!(tokens[1].parent_id, Some(tokens[0].id));
    assert_eq!(tokens[1].family_id, tokens[0].id);
    world
        .store
        .revoke_token(tokens[1].id, Timestamp::now())
        .await
        .unwrap();
    let gone = world.until(&next, 401).await;
    assert_eq!(gone.code(), "unauthenticated");
    world.stop().await;
}

async fn one_of_many_registrations_with_a_code_wins(world: World) {
    for round in 0..4 {
        let serial = format!("SN-RACE-{round}");
        let code = world.enrol(&serial).await;
        let tries = (0..8).map(|_| world.register_with(&code, &serial, Uuid::new_v4()));
        let answers = futures::future::join_all(tries).await;
        let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        let lost = answers
            .iter()
            .filter(|answer| answer.status == 409 && answer.code() == "enrolment_used");
        assert_eq!((won.len(), lost.count()), (1, 7), "{answers:?}");
        assert_eq!(world.me(&granted(won[0])).await.status, 200);
    }
    world.stop().await;
}

async fn a_registration_can_be_repeated_until_its_token_is_used(world: World) {
    let code = world.enrol("SN-REPEAT").await;
    let registration = Uuid::new_v4();
    let lost = granted(&world.register_with(&code, "SN-REPEAT", registration).await);
    let got = granted(&world.register_with(&code, "SN-REPEAT", registration).await);
    assert_eq!(world.me(&lost).await.status, 401, "its answer was given up");
    assert_eq!(world.me(&got).await.status, 200);
    let late = world.register_with(&code, "SN-REPEAT", registration).await;
    assert_eq!(late.code(), "enrolment_used");
    assert_eq!(world.me(&got).await.status, 200, "nobody takes it away");
    world.stop().await;
}

async fn a_lost_answer_to_a_refresh_locks_nobody_out(world: World) {
    let (_, token) = issue(&world.store, Some(world.till().terminal_id), &[]).await;
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.push(granted(&world.refresh(&token).await));
        assert_eq!(
            world.me(&token).await.status,
            200,
            "good until the new one is used"
        );
    }
    assert_eq!(world.me(&sent[0]).await.status, 401);
    assert_eq!(world.me(&sent[1]).await.status, 401);
    assert_eq!(world.me(&sent[2]).await.status, 200);
    // Two requests at the same time are one till that repeats itself: one successor, and it works.
    let (one, two) = tokio::join!(world.refresh(&sent[2]), world.refresh(&sent[2]));
    let both = [granted(&one), granted(&two)];
    let good = [world.me(&both[0]).await, world.me(&both[1]).await];
    let good = good.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(good, 1);
    world.stop().await;
}

async fn a_wrong_key_and_an_unknown_serial_are_one_answer(world: World) {
    let serial = world.till().serial_number.clone();
    let known = world.store.terminal_by_serial(&serial).await.unwrap().unwrap();
    let key = credentials(&world.store)
        .set_key(&known.terminal, None)
        .await
        .unwrap();
    let other = &world.tills[1].serial_number;
    let without_id = |answer: &Answer| {
        let mut document = answer.json();
        document["request_id"].take();
        (answer.status.as_u16(), document)
    };
    let wrong = without_id(&world.log_in(&serial, "a wrong key").await);
    assert_eq!(wrong.0, 401);
    assert_eq!(wrong.1["code"], "authentication_failed");
    for (serial, key) in [
        ("SN-NOBODY", key.as_str()),
        (other.as_str(), key.as_str()),
        (serial.as_str(), ""),
    ] {
        assert_eq!(without_id(&world.log_in(serial, key).await), wrong, "{serial}");
    }
    let answer = world.log_in(&serial, &key).await;
    let token = granted(&answer);
    assert_eq!(answer.json()["success"], true);
    assert_eq!(answer.json()["data"]["machine_number"], Value::Null);
    assert_eq!(world.me(&token).await.status, 200);

    world
        .store
        .set_terminal_status(known.terminal.id, TerminalStatus::Inactive)
        .await
        .unwrap();
    assert_eq!(without_id(&world.log_in(&serial, &key).await), wrong);
    let bad = world.call("POST", "/api/v1/auth/terminal", "", json!({})).await;
    assert_eq!(bad.code(), "invalid_fields");
    assert_eq!(bad.json()["errors"][0]["pointer"], "/serial_number");
    world.stop().await;
}

async fn a_login_ends_those_before_it(world: World) {
    let terminal_id = world.till().terminal_id;
    let known = world.store.terminal_by_serial(&world.till().serial_number);
    let terminal = known.await.unwrap().unwrap().terminal;
    let key = credentials(&world.store).set_key(&terminal, None).await.unwrap();
    let lost = granted(&world.log_in(&terminal.serial_number, &key).await);
    let first = granted(&world.log_in(&terminal.serial_number, &key).await);
    assert_eq!(
        world.me(&lost).await.status,
        401,
        "a login without use is repeated"
    );
    assert_eq!(world.me(&first).await.status, 200);
    let second = granted(&world.log_in(&terminal.serial_number, &key).await);
    assert_eq!(world.me(&second).await.status, 200);
    let tokens = world.store.list_tokens(Some(terminal_id), 0, 10).await.unwrap();
    let overlap = world.config.auth.rotation_overlap_ms.duration();
    let ends: Vec<_> = tokens
        .iter()
        .skip(1)
        .map(|token| token.expires_at.unwrap())
        .collect();
    assert_eq!(ends.len(), 2, "{tokens:?}");
    assert!(ends[0] <= Timestamp::now().plus(overlap) && ends[1] > ends[0]);
    world.stop().await;
}

async fn a_token_works_from_its_networks_only(world: World) {
    let bound_to = async |networks: &str| {
        let wish = Wish {
            terminal_id: Some(world.till().terminal_id),
            networks: networks.parse().unwrap(),
            ..Wish::default()
        };
        credentials(&world.store).issue(wish).await.unwrap().1
    };
    let refused = world.me(&bound_to("10.0.0.0/8, 2001:db8::/32").await).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (403, "network_refused")
    );
    assert_eq!(
        world.me(&bound_to("10.0.0.0/8, 127.0.0.1").await).await.status,
        200
    );
    world.stop().await;
}

async fn a_terminal_that_is_switched_off_is_told_so(world: World) {
    let till = world.till();
    assert_eq!(world.me(&till.token).await.status, 200);
    let set = async |status| {
        let done = world.store.set_terminal_status(till.terminal_id, status).await;
        done.unwrap();
    };
    set(TerminalStatus::Inactive).await;
    assert_eq!(world.until(&till.token, 403).await.code(), "terminal_inactive");
    assert_eq!(world.refresh(&till.token).await.code(), "terminal_inactive");
    let sold = world.post(till, sale(till, Version::V21, 1).body).await;
    assert_eq!(sold.code(), "terminal_inactive");
    set(TerminalStatus::Active).await;
    world.until(&till.token, 200).await;
    world
        .store
        .set_tenant_active(till.tenant_id, false)
        .await
        .unwrap();
    assert_eq!(world.until(&till.token, 403).await.code(), "terminal_inactive");
    world.until(&world.tills[2].token, 200).await;
    world.stop().await;
}

/// Rows that the first version made hold the plain SHA-256 of a token without an environment. Such a
/// token is found, and hashed again with the pepper.
async fn plain_hashes_of_the_first_version_go_on_working(world: World) {
    let body = format!("tsms_pos_{}", "A".repeat(43));
    let token = format!("{body}{:08x}", crc32fast::hash(body.as_bytes()));
    let new = store::NewToken {
        hashed: tsms::domain::keyring::Hashed {
            digest: tsms::domain::checksum::sha256(token.as_bytes()),
            key: tsms::domain::keyring::PLAIN.to_owned(),
        },
        terminal_id: Some(world.till().terminal_id),
        name: "of the first version".to_owned(),
        abilities: vec!["transaction:read".to_owned()],
        expires_at: None,
        networks: "".parse().unwrap(),
        origin: store::Origin::Issued,
    };
    let id = world.store.create_token(&new).await.unwrap();
    assert_eq!(world.me(&token).await.status, 200);
    assert_ne!(world.store.token(id).await.unwrap().hash_key, new.hashed.key);
    assert_eq!(world.me(&token).await.status, 200);
    world.stop().await;
}
