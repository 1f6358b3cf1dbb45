//! Every error an HTTP client can meet. What is fixed about each stands in the table of [`code`];
//! here are the facts that one answer adds to its row.
//!
//! Handlers return an [`Error`]; [`super::observe`] renders it as a problem document (RFC 9457) when
//! it knows the request id. Texts here are for vendors and operators of tills: nothing internal.

mod code;
mod detail;

use std::sync::Arc;

use axum::response::{IntoResponse, Response};

pub(super) use self::code::{Again, Code, Row};
use crate::domain::{
    json,
    money::Money,
    payload::{FieldError, Refusal},
    time::Timestamp,
};

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Error {
    /// No such route, or nothing the caller may see under that id.
    NotFound,
    /// The route exists, the method does not.
    MethodNotAllowed,
    /// The body is larger than the limit, announced or found while reading.
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// `Content-Type` is not `application/json`.
    UnsupportedMediaType,
    /// `Content-Encoding` is not `identity`.
    UnsupportedEncoding,
    /// The body did not arrive within the time of the request.
    BodyLate,
    /// The connection ended before the body did.
    BodyBroken,
    /// What came is no HTTP request.
    HeadMalformed,
    /// The headers are longer, or more, than the limit.
    HeadTooLarge,
    /// The address of the request is longer than the limit.
    UriTooLong,
    /// The headers did not arrive in time.
    HeadLate,
    /// No token, or none that is good: the same answer for every reason.
    Unauthenticated,
    /// The token may not do this.
    AbilityMissing {
        /// What it lacks.
        ability: &'static str,
    },
    /// The token is good but belongs to no terminal.
    TerminalRequired,
    /// The terminal or its tenant is switched off, revoked or expired.
    TerminalInactive,
    /// The token, or the admin API, may not be used from this address.
    NetworkRefused,
    /// A login with a wrong serial number or key: the same answer for every reason.
    AuthenticationFailed,
    /// The token that was to be looked at is not good: the same answer for every reason.
    TokenInvalid,
    /// The token was replaced, and its successor is in use.
    TokenReplaced,
    /// The token is revoked or past its end.
    TokenEnded,
    /// The enrolment code is not good for this till: the same answer for every reason.
    EnrolmentRefused,
    /// The enrolment code was used.
    EnrolmentUsed,
    /// The terminal is revoked, which is for ever.
    TerminalRevoked,
    /// Something with that key exists.
    AlreadyExists {
        /// What.
        what: &'static str,
    },
    /// Two secrets of that scheme sign already.
    SecretsInUse,
    /// Somebody else changed it at the same time.
    ChangedMeanwhile,
    /// A value is too long for the record or of a form that it does not take.
    Unstorable,
    /// A parameter of the query is of a wrong form or out of its bounds.
    InvalidQuery,
    /// An operator keeps the caller out for a while.
    Blocked {
        /// Seconds.
        retry_after: u64,
    },
    /// More requests than a limit lets in.
    RateLimited {
        /// Which limit.
        limit: &'static str,
        /// Seconds.
        retry_after: u64,
    },
    /// The tenant has its share of the work that waits.
    TenantBusy {
        /// Seconds.
        retry_after: u64,
    },
    /// Too much work waits.
    Overloaded {
        /// Seconds.
        retry_after: u64,
    },
    /// The record cannot be reached; whether the submission was kept is not known.
    StoreUnavailable {
        /// Seconds.
        retry_after: u64,
    },
    /// The time of the request was over before the answer was there; the outcome is not known.
    AnswerLate {
        /// Seconds.
        retry_after: u64,
    },
    /// Not JSON, a member twice, or past a limit of the JSON text.
    Json(json::JsonError),
    /// More transactions than a batch may hold.
    TooManyTransactions {
        /// How many were sent.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Members missing, or of the wrong type or form.
    Fields(Vec<FieldError>),
    /// A checksum does not fit its content.
    Checksum(Vec<FieldError>),
    /// `terminal_id` is not the token's terminal.
    TerminalMismatch,
    /// `tenant_id` is not the terminal's tenant.
    TenantMismatch,
    /// A `hardware_id` is not the terminal's serial number.
    HardwareMismatch(Vec<FieldError>),
    /// The submission uuid was used for other content.
    SubmissionConflict {
        /// When the first content was accepted.
        accepted_at: Timestamp,
    },
    /// The sale is void already, by another request.
    AlreadyVoided {
        /// When.
        voided_at: Timestamp,
        /// Why.
        void_reason: String,
    },
    /// A sale with refunds cannot become void.
    AlreadyRefunded,
    /// Whether the sale is valid is not decided yet.
    TransactionUndecided {
        /// Seconds.
        retry_after: u64,
    },
    /// The sale is not valid: there is nothing to refund.
    TransactionInvalid,
    /// The reference stands for another refund of the sale.
    RefundConflict {
        /// When that was.
        refunded_at: Timestamp,
    },
    /// More than what is left of the sale.
    RefundExceedsSale {
        /// What is left.
        left: Money,
    },
    /// The sale has as many refunds as it may.
    TooManyRefunds {
        /// The limit.
        limit: usize,
    },
    /// A defect of the ingress; the log has the rest.
    Internal,
}

impl Error {
    /// The refusal of a body, with at most `most` errors named.
    pub(super) fn refused(refusal: Refusal, most: usize) -> Self {
        match refusal {
            Refusal::Json(error) => Error::Json(error),
            Refusal::TooMany { count, limit } => Error::TooManyTransactions { count, limit },
            Refusal::Fields(mut errors) => {
                errors.truncate(most);
                Error::Fields(errors)
            }
            Refusal::Checksum(levels) => Error::Checksum(
                levels
                    .into_iter()
                    .take(most)
                    .map(|level| FieldError {
                        pointer: level.pointer,
                        code: "mismatch",
                        message: "does not match the content under any version of the checksum rule"
                            .to_owned(),
                    })
                    .collect(),
            ),
        }
    }

    /// The code of this error: its row in the table.
    pub(super) const fn code(&self) -> Code {
        match self {
            Error::NotFound => Code::NotFound,
            Error::MethodNotAllowed => Code::MethodNotAllowed,
            Error::BodyTooLarge { .. } => Code::BodyTooLarge,
            Error::UnsupportedMediaType => Code::UnsupportedMediaType,
            Error::UnsupportedEncoding => Code::UnsupportedContentEncoding,
            Error::BodyLate => Code::BodyTimeout,
            Error::BodyBroken => Code::BodyIncomplete,
            Error::HeadMalformed => Code::MalformedRequest,
            Error::HeadTooLarge => Code::HeadersTooLarge,
            Error::UriTooLong => Code::UriTooLong,
            Error::HeadLate => Code::HeadersTimeout,
            Error::NetworkRefused => Code::NetworkRefused,
            Error::AuthenticationFailed => Code::AuthenticationFailed,
            Error::TokenInvalid => Code::InvalidToken,
            Error::TokenReplaced => Code::TokenReplaced,
            Error::TokenEnded => Code::TokenEnded,
            Error::EnrolmentRefused => Code::EnrolmentRefused,
            Error::EnrolmentUsed => Code::EnrolmentUsed,
            Error::TerminalRevoked => Code::TerminalRevoked,
            Error::AlreadyExists { .. } => Code::AlreadyExists,
            Error::SecretsInUse => Code::SecretsInUse,
            Error::ChangedMeanwhile => Code::ChangedMeanwhile,
            Error::Unstorable => Code::Unstorable,
            Error::InvalidQuery => Code::InvalidQuery,
            Error::Blocked { .. } => Code::Blocked,
            Error::RateLimited { .. } => Code::RateLimited,
            Error::TenantBusy { .. } => Code::TenantBusy,
            Error::Unauthenticated => Code::Unauthenticated,
            Error::AbilityMissing { .. } => Code::AbilityMissing,
            Error::TerminalRequired => Code::TerminalRequired,
            Error::TerminalInactive => Code::TerminalInactive,
            Error::Overloaded { .. } => Code::Overloaded,
            Error::StoreUnavailable { .. } => Code::StoreUnavailable,
            Error::AnswerLate { .. } => Code::AnswerLate,
            Error::Json(error) => match error.problem {
                json::Problem::Malformed(_) => Code::MalformedJson,
                json::Problem::Duplicate { .. } => Code::DuplicateMember,
                json::Problem::TooDeep => Code::JsonTooDeep,
                json::Problem::TooMany => Code::JsonTooManyValues,
            },
            Error::TooManyTransactions { .. } => Code::TooManyTransactions,
            Error::Fields(_) => Code::InvalidFields,
            Error::Checksum(_) => Code::ChecksumMismatch,
            Error::TerminalMismatch => Code::TerminalMismatch,
            Error::TenantMismatch => Code::TenantMismatch,
            Error::HardwareMismatch(_) => Code::HardwareMismatch,
            Error::SubmissionConflict { .. } => Code::SubmissionConflict,
            Error::AlreadyVoided { .. } => Code::AlreadyVoided,
            Error::AlreadyRefunded => Code::AlreadyRefunded,
            Error::TransactionUndecided { .. } => Code::TransactionUndecided,
            Error::TransactionInvalid => Code::TransactionInvalid,
            Error::RefundConflict { .. } => Code::RefundConflict,
            Error::RefundExceedsSale { .. } => Code::RefundExceedsSale,
            Error::TooManyRefunds { .. } => Code::TooManyRefunds,
            Error::Internal => Code::Internal,
        }
    }

    /// The members it is about, by JSON pointer.
    pub(super) fn members(&self) -> Vec<FieldError> {
        let one = |pointer: &str, code, message: &str| {
            vec![FieldError {
                pointer: pointer.to_owned(),
                code,
                message: message.to_owned(),
            }]
        };
        match self {
            Error::Fields(errors) | Error::Checksum(errors) | Error::HardwareMismatch(errors) => {
                errors.clone()
            }
            Error::TerminalMismatch => one("/terminal_id", "mismatch", "must be the token's terminal"),
            Error::TenantMismatch => one("/tenant_id", "mismatch", "must be the terminal's tenant"),
            Error::TooManyTransactions { .. } => one("/transactions", "too_many", "split the batch"),
            Error::SubmissionConflict { .. } => {
                one("/submission_uuid", "conflict", "was used for other content")
            }
            Error::RefundConflict { .. } => {
                one("/refund_reference_id", "conflict", "was used for another refund")
            }
            Error::RefundExceedsSale { .. } => one("/refund_amount", "range", "is more than what is left"),
            _ => Vec::new(),
        }
    }

    /// When and why the sale was voided, where that is the reason.
    pub(super) fn voided(&self) -> Option<(Timestamp, &str)> {
        match self {
            Error::AlreadyVoided {
                voided_at,
                void_reason,
            } => Some((*voided_at, void_reason)),
            _ => None,
        }
    }

    /// Seconds after which the same request may succeed, where waiting helps.
    pub(super) const fn retry_after(&self) -> Option<u64> {
        match self {
            Error::Blocked { retry_after }
            | Error::RateLimited { retry_after, .. }
            | Error::TenantBusy { retry_after }
            | Error::Overloaded { retry_after }
            | Error::StoreUnavailable { retry_after }
            | Error::AnswerLate { retry_after }
            | Error::TransactionUndecided { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}

impl IntoResponse for Error {
    /// The bare status with the error attached; the document is rendered where the request id is known.
    fn into_response(self) -> Response {
        let mut response = self.code().row().status.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

#[cfg(test)]
mod tests;
