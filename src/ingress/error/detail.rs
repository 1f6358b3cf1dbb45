//! What each error says to a person: what happened and what to do.

use super::Error;
use crate::domain::json;

/// Longest piece of a client's own text that is repeated in an answer, in characters.
const ECHO_CHARS: usize = 64;

impl Error {
    /// What happened and what to do, for a person.
    #[expect(clippy::too_many_lines, reason = "one table: an arm an error")]
    pub(in super::super) fn detail(&self) -> String {
        let fixed = match self {
            Error::NotFound => "There is nothing here that this token may see.",
            Error::MethodNotAllowed => "This address does not know the method; see the Allow header.",
            Error::BodyTooLarge { limit } => return format!("The body is larger than {limit} bytes."),
            Error::UnsupportedMediaType => "Send the body as Content-Type: application/json.",
            Error::UnsupportedEncoding => "Send the body without compression.",
            Error::BodyLate => "The body did not arrive in time. Nothing was kept; send it again.",
            Error::BodyBroken => "The body ended early. Nothing was kept; send it again.",
            Error::HeadMalformed => "What was sent is no HTTP request.",
            Error::HeadTooLarge => "The headers are too long or too many.",
            Error::UriTooLong => "The address of the request is too long.",
            Error::HeadLate => {
                "The headers did not arrive in time. Nothing was kept; send the request again."
            }
            Error::Unauthenticated => "Send a valid token as Authorization: Bearer.",
            Error::AbilityMissing { ability } => {
                return format!("The token does not carry the ability {ability}.");
            }
            Error::TerminalRequired => "The token belongs to no terminal.",
            Error::TerminalInactive => "The terminal or its tenant may not submit at present.",
            Error::NetworkRefused => "This may not be used from the address that the request came from.",
            Error::AuthenticationFailed => {
                "The serial number and the key are not those of a terminal that is in use."
            }
            Error::TokenInvalid => "Invalid or expired token.",
            Error::TokenReplaced => {
                "The token has a successor that is in use. Use that one; nobody gets a second one."
            }
            Error::TokenEnded => "The token is revoked or past its end. Make a new one.",
            Error::EnrolmentRefused => {
                "The enrolment code is not good for this serial number, or not any more."
            }
            Error::EnrolmentUsed => "The enrolment code was used. Ask the operator for a new one.",
            Error::TerminalRevoked => "The terminal is revoked, which is for ever. Register another one.",
            Error::AlreadyExists { what } => return format!("There is a {what} with that key already."),
            Error::SecretsInUse => "Two secrets of that scheme sign already. Retire the older one first.",
            Error::ChangedMeanwhile => "Somebody else changed it at the same time. Look at it, and ask anew.",
            Error::Unstorable => "A value is too long or of a form that the record does not take.",
            Error::InvalidQuery => "A parameter of the query is of a wrong form or out of its bounds.",
            Error::Blocked { .. } => {
                "An operator keeps this terminal, tenant or address out for now. Nothing was kept; keep the \
                 request, call the mall, and send it again later."
            }
            Error::RateLimited { limit, .. } => {
                return format!(
                    "The limit {limit:?} is used up. Nothing was kept; send the same request again later."
                );
            }
            Error::TenantBusy { .. } => {
                "The tenant has its share of the work that waits. Nothing was kept; send the same request \
                 again later."
            }
            Error::Overloaded { .. } => {
                "Too much work waits. Nothing was kept; send the same request again later."
            }
            Error::StoreUnavailable { .. } | Error::AnswerLate { .. } => {
                "The outcome is not known. Send the same request again later: it is never counted twice."
            }
            Error::Json(error) => return json_detail(error),
            Error::TooManyTransactions { count, limit } => {
                return format!("{count} transactions were sent; a batch holds at most {limit}.");
            }
            Error::Fields(_) => "Members are missing, or of the wrong type or form.",
            Error::Checksum(_) => "A payload_checksum does not fit the content it was sent with.",
            Error::TerminalMismatch => "terminal_id is not the terminal this token belongs to.",
            Error::TenantMismatch => "tenant_id is not the tenant of the terminal this token belongs to.",
            Error::HardwareMismatch(_) => "hardware_id is not the serial number of this token's terminal.",
            Error::SubmissionConflict { accepted_at } => {
                return format!(
                    "This submission_uuid was accepted at {accepted_at} with other content, which stands. \
                     Use a new uuid for new content."
                );
            }
            Error::AlreadyVoided { voided_at, .. } => {
                return format!(
                    "The transaction was voided at {voided_at}, by another request. That stands."
                );
            }
            Error::AlreadyRefunded => "The transaction has refunds. Refund the rest instead of voiding it.",
            Error::TransactionUndecided { .. } => {
                "Whether the transaction is valid is not decided yet. Send the same request again later."
            }
            Error::TransactionInvalid => "The transaction is not valid: there is nothing to refund.",
            Error::RefundConflict { refunded_at } => {
                return format!(
                    "This refund_reference_id was used at {refunded_at} for another refund, which stands. \
                     Use a new one for a new refund."
                );
            }
            Error::RefundExceedsSale { left } => {
                return format!("At most {left} of the transaction can still be refunded.");
            }
            Error::TooManyRefunds { limit } => {
                return format!("A transaction has at most {limit} refunds.");
            }
            Error::Internal => "The request could not be handled. Quote the request id when you report it.",
        };
        fixed.to_owned()
    }
}

fn json_detail(error: &json::JsonError) -> String {
    let offset = error.offset;
    match &error.problem {
        json::Problem::Malformed(what) => format!("Malformed JSON at byte {offset}: {what}."),
        json::Problem::Duplicate { name } => {
            let name: String = name.chars().take(ECHO_CHARS).collect();
            format!("The member {name:?} comes a second time in one object, at byte {offset}.")
        }
        json::Problem::TooDeep => format!("Arrays and objects are nested too deeply at byte {offset}."),
        json::Problem::TooMany => {
            format!("The body holds too many values; the limit is passed at byte {offset}.")
        }
    }
}
