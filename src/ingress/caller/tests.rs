use http::HeaderValue;

use super::*;
use crate::domain::{directory::TerminalStatus, network::Networks, rotation::Life};

fn identity() -> Identity {
    Identity {
        token_id: 1,
        family_id: 1,
        terminal: Some((
            Terminal {
                id: 7,
                tenant_id: 3,
                serial_number: "S-7".to_owned(),
                status: TerminalStatus::Active,
                expires_at: None,
                callback_url: None,
            },
            Tenant {
                id: 3,
                company_id: 1,
                code: "C-3".to_owned(),
                name: "Shop".to_owned(),
                timezone: "Asia/Manila".to_owned(),
                active: true,
            },
        )),
        abilities: vec![CREATE.to_owned()],
        life: Life::default(),
        networks: Networks::default(),
        created_at: Timestamp::from_micros(0),
        confirmed: true,
        hash_key: String::new(),
        digest: [0; 32],
    }
}

fn admitted(change: impl FnOnce(&mut Identity)) -> Result<i64, Error> {
    let mut identity = identity();
    change(&mut identity);
    let now = Timestamp::from_micros(1_000);
    Known::from(identity)
        .admit(CREATE, now)
        .map(|till| till.terminal.id)
}

#[test]
fn only_a_token_with_the_ability_and_a_usable_terminal_is_admitted() {
    assert_eq!(admitted(|_| {}), Ok(7));
    assert_eq!(admitted(|i| i.terminal = None), Err(Error::TerminalRequired));
    assert_eq!(
        admitted(|i| i.abilities = vec![READ.to_owned(), "admin:*".to_owned()]),
        Err(Error::AbilityMissing { ability: CREATE })
    );
    let with_terminal = |change: fn(&mut Terminal, &mut Tenant)| {
        admitted(|i| {
            if let Some((terminal, tenant)) = &mut i.terminal {
                change(terminal, tenant);
            }
        })
    };
    assert_eq!(
        with_terminal(|_, tenant| tenant.active = false),
        Err(Error::TerminalInactive)
    );
    assert_eq!(
        with_terminal(|terminal, _| terminal.status = TerminalStatus::Inactive),
        Err(Error::TerminalInactive)
    );
    assert_eq!(
        with_terminal(|terminal, _| terminal.expires_at = Some(Timestamp::from_micros(1_000))),
        Err(Error::TerminalInactive)
    );
}

#[test]
fn credentials_of_another_form_are_not_looked_up() {
    for text in [
        "",
        "Bearer",
        "Basic abc",
        "Bearertoken",
        &format!("Bearer {}", "x".repeat(300)),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(text).unwrap());
        assert!(presented(&headers).is_none(), "{text}");
    }
    assert!(presented(&HeaderMap::new()).is_none());
}
