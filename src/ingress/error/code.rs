//! The table of error codes: each with its status, title, meaning, and what a till does about it.
//! `docs/errors.md`, the contract and the problem documents are made from these rows and no others.

use http::StatusCode;

/// Whether a till sends the same request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ingress) enum Again {
    /// Never as it is: the answer would be the same.
    Never,
    /// At once, then with the till's own back-off; nothing says how long to wait.
    Same,
    /// After `Retry-After`, which every such answer carries.
    AfterWait,
    /// After a person or another request has removed the cause.
    AfterCare,
}

impl Again {
    /// The word for a person.
    pub(in crate::ingress) const fn advice(self) -> &'static str {
        match self {
            Again::Never => "no",
            Again::Same => "yes, the same bytes",
            Again::AfterWait => "yes, the same bytes, after `Retry-After`",
            Again::AfterCare => "yes, the same bytes, once the cause is gone",
        }
    }
}

/// What is fixed about a code.
#[derive(Clone, Copy, Debug)]
pub(in crate::ingress) struct Row {
    pub(in crate::ingress) status: StatusCode,
    /// The stable word.
    pub(in crate::ingress) word: &'static str,
    pub(in crate::ingress) title: &'static str,
    pub(in crate::ingress) again: Again,
    /// When it is answered, for whoever writes a till.
    pub(in crate::ingress) meaning: &'static str,
    /// What the till, or the person beside it, does.
    pub(in crate::ingress) action: &'static str,
}

/// One line a code, so that none can be without a status, a meaning or an action.
macro_rules! codes {
    ($($name:ident $status:ident $word:literal $title:literal $again:ident $meaning:literal $action:literal)+) => {
        /// A stable error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(in crate::ingress) enum Code {
            $(#[doc = $meaning] $name,)+
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub(in crate::ingress) const ALL: &'static [Code] = &[$(Code::$name),+];

            pub(in crate::ingress) const fn row(self) -> Row {
                match self {
                    $(Code::$name => Row {
                        status: StatusCode::$status,
                        word: $word,
                        title: $title,
                        again: Again::$again,
                        meaning: $meaning,
                        action: $action,
                    },)+
                }
            }
        }
    };
}

codes! {
    MalformedJson BAD_REQUEST "malformed_json" "Malformed JSON" Never
        "The body is not JSON, or not UTF-8; `detail` names the byte."
        "A defect of the till: put the sale aside and tell a person."
    DuplicateMember BAD_REQUEST "duplicate_member" "Duplicate member" Never
        "A member name comes twice in one object; `detail` names it."
        "A defect of the till: put the sale aside and tell a person."
    JsonTooDeep BAD_REQUEST "json_too_deep" "JSON nested too deeply" Never
        "Arrays and objects are nested more deeply than any payload needs."
        "A defect of the till: put the sale aside and tell a person."
    JsonTooManyValues BAD_REQUEST "json_too_many_values" "Too many JSON values" Never
        "The body holds more values than any payload needs."
        "Send fewer sales in one submission."
    BodyIncomplete BAD_REQUEST "body_incomplete" "Body incomplete" Same
        "The connection ended before the body did, or its framing is broken. Nothing was kept."
        "Send it again."
    MalformedRequest BAD_REQUEST "malformed_request" "Malformed request" Never
        "What was sent is no HTTP request."
        "A defect of the till or of something between."
    InvalidQuery BAD_REQUEST "invalid_query" "Invalid query" Never
        "A parameter of the query is of a wrong form or out of its bounds."
        "Correct the query."
    Unauthenticated UNAUTHORIZED "unauthenticated" "Unauthenticated" AfterCare
        "The token is missing, garbled, unknown, expired or revoked: one answer for every reason."
        "Keep the sale; get a new token, then send it again."
    AuthenticationFailed UNAUTHORIZED "authentication_failed" "Authentication failed" AfterCare
        "The serial number and the key are not those of a terminal that is in use: one answer for every reason."
        "Tell a person: the serial number, the key or the state of the terminal is wrong."
    InvalidToken UNAUTHORIZED "invalid_token" "Invalid token" AfterCare
        "The token that was to be looked at is not good: one answer for every reason."
        "Get a new token."
    EnrolmentRefused UNAUTHORIZED "enrolment_refused" "Enrolment refused" AfterCare
        "The enrolment code is not good for this serial number, or not any more: one answer for every reason."
        "Check both; ask the operator for a new code."
    AbilityMissing FORBIDDEN "ability_missing" "Ability missing" AfterCare
        "The token is good but does not carry the ability that `detail` names."
        "Keep the sale; ask the operator for a token with that ability."
    TerminalRequired FORBIDDEN "terminal_required" "Terminal token required" Never
        "The token is good but belongs to no terminal, as an administrator's does."
        "Use the terminal's own token."
    TerminalInactive FORBIDDEN "terminal_inactive" "Terminal inactive" AfterCare
        "The terminal or its tenant is switched off, revoked or expired."
        "Keep the sale; ask the operator."
    NetworkRefused FORBIDDEN "network_refused" "Network refused" AfterCare
        "The token, or this part of the server (metrics, administration), may not be used from the network that the request came from."
        "Keep the sale; ask the operator."
    TerminalMismatch FORBIDDEN "terminal_mismatch" "Not this token's terminal" Never
        "`terminal_id` is not the terminal of the token."
        "Correct the settings of the till."
    TenantMismatch FORBIDDEN "tenant_mismatch" "Not this terminal's tenant" Never
        "`tenant_id` is not the tenant of the token's terminal."
        "Correct the settings of the till."
    HardwareMismatch FORBIDDEN "hardware_mismatch" "Not this terminal's hardware" Never
        "A `hardware_id` is not the serial number of the token's terminal; `errors` names each."
        "Correct the settings of the till."
    NotFound NOT_FOUND "not_found" "Not found" Never
        "No such path, or nothing under that id that this token may see: another terminal's sale, an unknown id and a malformed id look the same."
        "Check the address and the id."
    MethodNotAllowed METHOD_NOT_ALLOWED "method_not_allowed" "Method not allowed" Never
        "The path exists, the method does not; the `Allow` header lists those that do."
        "A defect of the till."
    BodyTimeout REQUEST_TIMEOUT "body_timeout" "Body too slow" Same
        "The body did not arrive in time. Nothing was kept."
        "Send it again; look at the line if it happens often."
    HeadersTimeout REQUEST_TIMEOUT "headers_timeout" "Headers too slow" Same
        "The headers did not arrive in time. Nothing was kept."
        "Send it again; look at the line if it happens often."
    SubmissionConflict CONFLICT "submission_conflict" "Submission conflict" Never
        "The `submission_uuid` was accepted before with other content, which stands."
        "A defect of the till: a retry sends the same bytes; new content needs a new uuid."
    TokenReplaced CONFLICT "token_replaced" "Token replaced" Never
        "The token has a successor that is in use: nobody gets a second one."
        "Use the successor; if it is lost, enrol the terminal again."
    TokenEnded CONFLICT "token_ended" "Token ended" Never
        "The token that was to be rotated is revoked or past its end."
        "Make a new token."
    EnrolmentUsed CONFLICT "enrolment_used" "Enrolment code used" Never
        "The enrolment code was used, by another `registration_id` or by a till whose token is in use."
        "Ask the operator for a new code."
    TerminalRevoked CONFLICT "terminal_revoked" "Terminal revoked" Never
        "The terminal is revoked, which is for ever."
        "Register another terminal."
    AlreadyExists CONFLICT "already_exists" "Exists already" Never
        "Something with that key exists; `detail` names what."
        "Use the one that is there, or another key."
    SecretsInUse CONFLICT "secrets_in_use" "Secrets in use" Never
        "Two secrets of that scheme sign already, and the receiver may know no other than the older one."
        "Retire the older one, then make another."
    ChangedMeanwhile CONFLICT "changed_meanwhile" "Changed meanwhile" Never
        "Somebody else changed it at the same time."
        "Look at it, and ask anew if it is still wanted."
    AlreadyVoided CONFLICT "already_voided" "Already voided" Never
        "The sale was voided by another request, which stands; `voided_at` and `void_reason` are its facts."
        "Stop: the sale is void."
    AlreadyRefunded CONFLICT "already_refunded" "Already refunded" Never
        "A sale with refunds cannot become void."
        "Refund the rest instead."
    TransactionUndecided CONFLICT "transaction_undecided" "Transaction not decided yet" AfterWait
        "Whether the sale is valid is not decided yet: too early for a refund."
        "Send it again after the wait."
    TransactionInvalid CONFLICT "transaction_invalid" "Transaction not valid" Never
        "The sale is not valid: there is nothing to refund."
        "Do not repeat it."
    RefundConflict CONFLICT "refund_conflict" "Refund conflict" Never
        "The `refund_reference_id` was used for another refund of the sale, which stands."
        "A defect of the till: a new refund needs a new reference."
    RefundExceedsSale CONFLICT "refund_exceeds_sale" "Refund exceeds the sale" Never
        "More than what is left of the sale; `detail` names what is left."
        "Refund at most that."
    TooManyRefunds CONFLICT "too_many_refunds" "Too many refunds" Never
        "The sale has as many refunds as it may; `detail` names the limit."
        "Ask the operator."
    BodyTooLarge PAYLOAD_TOO_LARGE "body_too_large" "Body too large" Never
        "The body is larger than the limit that `detail` names."
        "Split the batch."
    TooManyTransactions PAYLOAD_TOO_LARGE "too_many_transactions" "Too many transactions" Never
        "More transactions than one submission may hold; `detail` names the limit."
        "Split the batch."
    UriTooLong URI_TOO_LONG "uri_too_long" "Address too long" Never
        "The address of the request is too long."
        "A defect of the till."
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" "Unsupported media type" Never
        "`Content-Type` is not `application/json`."
        "A defect of the till."
    UnsupportedContentEncoding UNSUPPORTED_MEDIA_TYPE "unsupported_content_encoding" "Unsupported content encoding" Never
        "The body is compressed."
        "Send it as it is."
    InvalidFields UNPROCESSABLE_ENTITY "invalid_fields" "Invalid fields" Never
        "Members are missing, or of the wrong type or form; `errors` names each by JSON pointer."
        "A defect of the till: put the sale aside and tell a person."
    ChecksumMismatch UNPROCESSABLE_ENTITY "checksum_mismatch" "Checksum mismatch" Never
        "A `payload_checksum` does not fit the content it came with; `errors` names the level, never the right value."
        "A defect of the till: compare with `POST /api/v1/checksum/sandbox` or `tsms checksum verify`."
    Unstorable UNPROCESSABLE_ENTITY "unstorable" "Cannot be stored" Never
        "A value is too long or of a form that the record does not take."
        "Correct the value."
    HeadersTooLarge REQUEST_HEADER_FIELDS_TOO_LARGE "headers_too_large" "Headers too large" Never
        "The headers are too long or too many. On HTTP/2 the answer has no document."
        "A defect of the till or of something between."
    RateLimited TOO_MANY_REQUESTS "rate_limited" "Too many requests" AfterWait
        "More requests in the last period than the limit that `detail` names lets in. Nothing was kept."
        "Send it again after the wait."
    TenantBusy TOO_MANY_REQUESTS "tenant_busy" "Tenant busy" AfterWait
        "The tenant has its share of the work that waits. Nothing was kept."
        "Send it again after the wait."
    Blocked TOO_MANY_REQUESTS "blocked" "Blocked" AfterWait
        "An operator keeps the terminal, the tenant or the address out for a while. Nothing was kept."
        "Keep the sales, call the mall, send again after the wait."
    Internal INTERNAL_SERVER_ERROR "internal" "Internal error" Same
        "A defect of TSMS; its log has the rest under the `request_id`."
        "Send it again later; report the request id."
    Overloaded SERVICE_UNAVAILABLE "overloaded" "Overloaded" AfterWait
        "Too much work waits. Nothing was kept."
        "Send it again after the wait."
    StoreUnavailable SERVICE_UNAVAILABLE "store_unavailable" "Record unavailable" AfterWait
        "The record cannot be reached; whether the request took effect is not known."
        "Send it again after the wait: it is never counted twice."
    AnswerLate SERVICE_UNAVAILABLE "answer_late" "Answer late" AfterWait
        "The time of the request was over before its outcome was known."
        "Send it again after the wait: it is never counted twice."
}

impl Code {
    /// The `type` of the problem document: an address of this server that explains the code.
    pub(in crate::ingress) fn type_uri(self) -> String {
        format!("/errors/{}", self.row().word)
    }

    /// The code of that word.
    pub(in crate::ingress) fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.row().word == word)
    }
}
