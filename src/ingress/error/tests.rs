use std::collections::HashSet;

use super::*;
use crate::domain::{
    checksum::Mismatch,
    json::{JsonError, Problem},
};

fn json(problem: Problem) -> Error {
    Error::Json(JsonError { problem, offset: 7 })
}

/// One of each; whatever the table has a row for must be here.
fn every_error() -> Vec<Error> {
    let field = || {
        vec![FieldError {
            pointer: "/a".to_owned(),
            code: "required",
            message: "is missing".to_owned(),
        }]
    };
    vec![
        Error::NotFound,
        Error::MethodNotAllowed,
        Error::BodyTooLarge { limit: 9 },
        Error::UnsupportedMediaType,
        Error::UnsupportedEncoding,
        Error::BodyLate,
        Error::BodyBroken,
        Error::Unauthenticated,
        Error::AbilityMissing { ability: "a:b" },
        Error::TerminalRequired,
        Error::TerminalInactive,
        Error::HeadMalformed,
        Error::HeadTooLarge,
        Error::UriTooLong,
        Error::HeadLate,
        Error::NetworkRefused,
        Error::Blocked { retry_after: 1 },
        Error::RateLimited {
            limit: "terminal",
            retry_after: 1,
        },
        Error::TenantBusy { retry_after: 1 },
        Error::AuthenticationFailed,
        Error::TokenInvalid,
        Error::TokenReplaced,
        Error::TokenEnded,
        Error::EnrolmentRefused,
        Error::EnrolmentUsed,
        Error::TerminalRevoked,
        Error::AlreadyExists { what: "tenant" },
        Error::SecretsInUse,
        Error::ChangedMeanwhile,
        Error::Unstorable,
        Error::InvalidQuery,
        Error::Overloaded { retry_after: 1 },
        Error::StoreUnavailable { retry_after: 1 },
        Error::AnswerLate { retry_after: 1 },
        json(Problem::Malformed("x")),
        json(Problem::Duplicate {
            name: "x".repeat(500),
        }),
        json(Problem::TooDeep),
        json(Problem::TooMany),
        Error::TooManyTransactions { count: 2, limit: 1 },
        Error::Fields(field()),
        Error::Checksum(field()),
        Error::TerminalMismatch,
        Error::TenantMismatch,
        Error::HardwareMismatch(field()),
        Error::SubmissionConflict {
            accepted_at: Timestamp::from_micros(0),
        },
        Error::AlreadyVoided {
            voided_at: Timestamp::from_micros(0),
            void_reason: "x".repeat(255),
        },
        Error::AlreadyRefunded,
        Error::TransactionUndecided { retry_after: 1 },
        Error::TransactionInvalid,
        Error::RefundConflict {
            refunded_at: Timestamp::from_micros(0),
        },
        Error::RefundExceedsSale { left: Money::MAX },
        Error::TooManyRefunds { limit: 1 },
        Error::Internal,
    ]
}

#[test]
fn codes_are_stable_words_and_used_once() {
    let mut seen = HashSet::new();
    for error in every_error() {
        let Row {
            status,
            word: code,
            title,
            ..
        } = error.code().row();
        assert!(seen.insert(code), "{code} is used twice");
        assert!(
            code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{code}"
        );
        assert!(status.is_client_error() || status.is_server_error());
        assert!(!title.is_empty());
        assert!(
            error.detail().len() < 300,
            "{code} repeats too much of what was sent"
        );
    }
    let listed: HashSet<&str> = Code::ALL.iter().map(|code| code.row().word).collect();
    assert_eq!(seen, listed, "a row for every error, an error for every row");
}

#[test]
fn whoever_is_told_to_wait_is_told_how_long() {
    for error in every_error() {
        let row = error.code().row();
        let waits = row.again == Again::AfterWait;
        assert_eq!(error.retry_after().is_some(), waits, "{}", row.word);
        assert!(
            waits || row.status != http::StatusCode::SERVICE_UNAVAILABLE,
            "{}",
            row.word
        );
    }
}

#[test]
fn a_refused_body_names_at_most_the_bound_of_members() {
    let mismatches = (0..9).map(|n| Mismatch {
        pointer: format!("/transactions/{n}/payload_checksum"),
    });
    let error = Error::refused(Refusal::Checksum(mismatches.collect()), 3);
    assert_eq!(error.code(), Code::ChecksumMismatch);
    assert_eq!(error.members().len(), 3);
    assert_eq!(error.members()[2].pointer, "/transactions/2/payload_checksum");
}
