//! The table of error codes as a page for people, and each row as an address of this server.

use std::fmt::Write as _;

use crate::ingress::error::Code;

const HEAD: &str = "\
# Error codes

Made from the table in `src/ingress/error/code.rs` by `tsms contract errors`; a test compares the two.

Every refusal is a problem document (RFC 9457, `application/problem+json`). Go by its `code`: codes
are stable, they are never renamed and never get another meaning. `type` is `/errors/` and the code,
an address of the server itself that shows the row below. `title` and `detail` are for people and may
change. `errors`, where it is there, names members of your body by JSON pointer (RFC 6901).

*Again?* says whether the same request may succeed later. The same request means the same bytes: then
it is never counted twice, whatever became of the first one. Where a wait is named, it is in the
`Retry-After` header and in `retry_after`, in seconds, the same figure.

";

/// `docs/errors.md`.
#[must_use]
pub fn errors_page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("| status | code | again? |\n|---|---|---|\n");
    for code in Code::ALL {
        let row = code.row();
        let (status, word, again) = (row.status.as_u16(), row.word, row.again.advice());
        writeln!(page, "| {status} | [`{word}`](#{word}) | {again} |").unwrap_or_default();
    }
    for code in Code::ALL {
        write!(page, "\n{}", entry(*code)).unwrap_or_default();
    }
    page
}

/// One row, for a reader.
pub(super) fn entry(code: Code) -> String {
    let row = code.row();
    let (status, word, title) = (row.status.as_u16(), row.word, row.title);
    let (meaning, again, action) = (row.meaning, row.again.advice(), row.action);
    format!("## {word}\n\n{status} {title}. {meaning}\n\n- Again? {again}.\n- What to do: {action}\n")
}
