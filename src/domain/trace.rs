//! W3C trace context (`traceparent`): how a client's trace goes on through queue and forward.
//!
//! A job and a submission's row carry it behind their request id, `r-7;00-…-…-01`: no request id
//! holds a semicolon, so nothing had to change where such a text is kept or carried, a lost job made
//! again from its row keeps its trace, and a request without one costs nothing.

use std::fmt;

use rand::RngExt;

/// Length of version 00, and the least of any later one.
const LENGTH: usize = 55;
/// The only flag that is passed on: this trace is recorded.
const SAMPLED: u8 = 1;
/// Between a request id and its trace context.
const SEPARATOR: char = ';';

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

impl TraceContext {
    /// Reads a `traceparent`. `None` for anything that the standard calls invalid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (version, rest) = (hex(bytes.get(..2)?)?, bytes.get(LENGTH..)?);
        let whole = match version {
            0 => rest.is_empty(),
            0xff => false,
            // A later version may add fields at the end.
            _ => rest.first().is_none_or(|byte| *byte == b'-'),
        };
        let dashes = [2, 35, 52].iter().all(|at| bytes.get(*at) == Some(&b'-'));
        if !whole || !dashes {
            return None;
        }
        let context = Self {
            trace_id: hex(bytes.get(3..35)?)?,
            span_id: u64::try_from(hex(bytes.get(36..52)?)?).ok()?,
            flags: u8::try_from(hex(bytes.get(53..LENGTH)?)?).ok()? & SAMPLED,
        };
        (context.trace_id != 0 && context.span_id != 0).then_some(context)
    }

    /// The first step of a trace of our own, which is recorded.
    #[must_use]
    pub fn root() -> Self {
        let mut random = rand::rng();
        Self {
            trace_id: random.random_range(1..=u128::MAX),
            span_id: random.random_range(1..=u64::MAX),
            flags: SAMPLED,
        }
    }

    /// A step of our own in the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self {
            span_id: rand::rng().random_range(1..=u64::MAX),
            ..self
        }
    }

    /// The same place in a trace that is not recorded.
    #[must_use]
    pub const fn unsampled(self) -> Self {
        Self { flags: 0, ..self }
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Trace and step, as bytes in the order they are written.
    #[must_use]
    pub const fn ids(self) -> ([u8; 16], [u8; 8]) {
        (self.trace_id.to_be_bytes(), self.span_id.to_be_bytes())
    }

    /// The trace, as logs name it.
    #[must_use]
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

impl fmt::Display for TraceContext {
    /// A `traceparent` of version 00.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id, self.span_id, self.flags
        )
    }
}

/// Lower-case digits only, as the standard has it.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

/// What a job and a row carry of a request: its id and, if it has one, its trace.
#[must_use]
pub fn carried(request_id: &str, trace: Option<TraceContext>) -> String {
    match trace {
        Some(trace) => format!("{request_id}{SEPARATOR}{trace}"),
        None => request_id.to_owned(),
    }
}

/// The request id of what [`carried`] made.
#[must_use]
pub fn request_id(carried: &str) -> &str {
    carried.split_once(SEPARATOR).map_or(carried, |(id, _)| id)
}

/// The trace of what [`carried`] made.
#[must_use]
pub fn context(carried: &str) -> Option<TraceContext> {
    carried
        .split_once(SEPARATOR)
        .and_then(|(_, trace)| TraceContext::parse(trace))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn only_what_the_standard_allows_is_a_trace() {
        let trace = TraceContext::parse(EXAMPLE).unwrap();
        assert_eq!(trace.to_string(), EXAMPLE);
        assert_eq!(trace.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(TraceContext::parse(&EXAMPLE.replace("-01", "-ff")), Some(trace));
        for later in [
            EXAMPLE.replacen("00", "cc", 1),
            format!("cc{}-more", EXAMPLE.trim_start_matches("00")),
        ] {
            assert_eq!(TraceContext::parse(&later), Some(trace), "{later}");
        }
        for bad in [
            String::new(),
            EXAMPLE.to_uppercase(),
            EXAMPLE.replacen("00", "ff", 1),
            format!("{EXAMPLE}-more"),
            format!("{EXAMPLE}0"),
            format!(" {EXAMPLE}"),
            EXAMPLE.replace('-', "_"),
            EXAMPLE.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            EXAMPLE.replace("b7ad6b7169203331", &"0".repeat(16)),
            EXAMPLE.replacen("00", "cc", 1) + "x",
            "é".repeat(28),
        ] {
            assert_eq!(TraceContext::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_job_of_before_and_a_job_of_now_read_alike() {
        let trace = TraceContext::parse(EXAMPLE);
        for trace in [None, trace] {
            let text = carried("r-7", trace);
            assert_eq!(request_id(&text), "r-7");
            assert_eq!(context(&text), trace);
        }
        assert_eq!(request_id(""), "");
        assert!(
            carried(&"x".repeat(64), trace).len() <= 128,
            "what the record holds"
        );
    }

    #[test]
    fn a_step_of_ours_stays_in_the_trace() {
        let root = TraceContext::root();
        assert_eq!(TraceContext::parse(&root.to_string()), Some(root));
        assert!(root.is_sampled() && root.child().is_sampled() && !root.unsampled().child().is_sampled());
        assert_ne!(root.trace_id(), TraceContext::root().trace_id());
        let trace = TraceContext::parse(EXAMPLE).unwrap();
        let (whole, step) = trace.ids();
        assert_eq!((whole[0], whole[15], step[0], step[7]), (0x0a, 0x9c, 0xb7, 0x31));
        let child = trace.child();
        assert_eq!(child.trace_id(), trace.trace_id());
        assert_ne!(child, trace);
        assert_eq!(TraceContext::parse(&child.to_string()), Some(child));
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_reads_back(text in "\\PC{0,70}|[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.{0,4}") {
            if let Some(trace) = TraceContext::parse(&text) {
                prop_assert_eq!(TraceContext::parse(&trace.to_string()), Some(trace));
            }
            let _: (&str, Option<TraceContext>) = (request_id(&text), context(&text));
        }
    }
}
