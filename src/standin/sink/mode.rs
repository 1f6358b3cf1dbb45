//! How the stand-in web application answers the next requests.
//!
//! One text form serves the command line and the control API: `WHAT[+apply][*COUNT]`, e.g. `ok`,
//! `status:503*10`, `busy:2`, `slow:300`, `hang`, `reset+apply`, `partial:3:retry`, `empty`,
//! `html`, `redirect`, `drip:1000`, `huge:2000000`, `garbled`, `flap:2000`, `scramble`,
//! `plain`.

use std::{fmt, num::NonZeroU64, str::FromStr, time::Duration};

use crate::domain::time::Timestamp;

/// The largest answer that is sent.
const MOST_BYTES: u64 = 1 << 30;

/// What an item that is not to be accepted is told in [`Answer::Partial`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// `retry`: come again.
    Retry,
    /// `rejected`: never.
    Rejected,
    /// The item has an effect, but its result is left out of the answer.
    Missing,
}

/// The kinds of answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Every sound item is accepted.
    Ok,
    /// This status (400 to 599) and a JSON body without results.
    Status(u16),
    /// 429 with `Retry-After` in seconds.
    Busy(u64),
    /// Like `Ok`, this much later than it could have been.
    Slow(Duration),
    /// No answer for as long as [`super::SinkOptions::hold`] says.
    Hang,
    /// The whole request is read, then the connection ends with a TCP reset.
    Reset,
    /// Like `Ok`, except that every `every`-th item of a batch is denied.
    Partial {
        /// Which items: 3 is the third, sixth, … of each batch.
        every: NonZeroU64,
        /// What they are told.
        denial: Denial,
    },
    /// 204 without a body.
    Empty,
    /// 200 with an HTML page, as a proxy or a log-in wall would send.
    Html,
    /// 302 to an HTML page that answers 200.
    Redirect,
    /// 200 and an answer that comes byte by byte, each this much later than the one before.
    Drip(Duration),
    /// 200 and a JSON answer of about so many bytes, without results.
    Huge(u64),
    /// 200 and JSON that breaks off.
    Garbled,
    /// Like `Ok` and 503 in turns, each for this long.
    Flap(Duration),
    /// Like `Ok`, with the results in reverse order, the last one twice, and one nobody asked about.
    Scramble,
    /// Knows no compression: a compressed body is broken JSON to it.
    Plain,
}

/// An answer, whether the request has its effect all the same, and for how many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// What is answered.
    pub answer: Answer,
    /// Whether the items reach the ledger although the answer does not say so: the sender must
    /// send again, and the copies must have no second effect.
    pub apply: bool,
    /// Requests after which it is back to `ok`; for ever where `None`.
    pub remaining: Option<NonZeroU64>,
}

impl Mode {
    /// Accepts everything, for ever.
    pub const OK: Mode = Mode::always(Answer::Ok);

    /// `answer` for every request from now on.
    #[must_use]
    pub const fn always(answer: Answer) -> Self {
        Self {
            answer,
            apply: false,
            remaining: None,
        }
    }

    /// The same, with the items reaching the ledger.
    #[must_use]
    pub const fn applied(mut self) -> Self {
        self.apply = true;
        self
    }

    /// The same for the next `count` requests; for ever where `count` is 0.
    #[must_use]
    pub const fn times(mut self, count: u64) -> Self {
        self.remaining = NonZeroU64::new(count);
        self
    }

    /// The mode of one request; counts it.
    pub(super) fn take(&mut self) -> Mode {
        let mut now = *self;
        if let Answer::Flap(turn) = now.answer {
            let micros = i64::try_from(turn.as_micros()).unwrap_or(i64::MAX).max(1);
            let well = Timestamp::now().as_micros() / micros % 2 == 0;
            now.answer = if well { Answer::Ok } else { Answer::Status(503) };
        }
        if let Some(left) = self.remaining {
            match NonZeroU64::new(left.get() - 1) {
                Some(left) => self.remaining = Some(left),
                None => *self = Mode::OK,
            }
        }
        now
    }
}

impl Answer {
    /// The word of the text form; also the name under which requests are counted.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Answer::Ok => "ok",
            Answer::Status(_) => "status",
            Answer::Busy(_) => "busy",
            Answer::Slow(_) => "slow",
            Answer::Hang => "hang",
            Answer::Reset => "reset",
            Answer::Partial { .. } => "partial",
            Answer::Empty => "empty",
            Answer::Html => "html",
            Answer::Redirect => "redirect",
            Answer::Drip(_) => "drip",
            Answer::Huge(_) => "huge",
            Answer::Garbled => "garbled",
            Answer::Flap(_) => "flap",
            Answer::Scramble => "scramble",
            Answer::Plain => "plain",
        }
    }
}

impl Denial {
    const fn word(self) -> &'static str {
        match self {
            Denial::Retry => "retry",
            Denial::Rejected => "rejected",
            Denial::Missing => "missing",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.answer.word())?;
        match self.answer {
            Answer::Status(status) => write!(f, ":{status}")?,
            Answer::Busy(seconds) => write!(f, ":{seconds}")?,
            Answer::Slow(delay) | Answer::Drip(delay) | Answer::Flap(delay) => {
                write!(f, ":{}", delay.as_millis())?;
            }
            Answer::Huge(bytes) => write!(f, ":{bytes}")?,
            Answer::Partial { every, denial } => write!(f, ":{every}:{}", denial.word())?,
            _ => {}
        }
        if self.apply {
            f.write_str("+apply")?;
        }
        self.remaining.map_or(Ok(()), |count| write!(f, "*{count}"))
    }
}

/// The text names no mode.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a mode; modes are ok, status:400…599, busy:SECONDS, slow:MILLISECONDS, hang, reset, \
     partial:EVERY:(retry|rejected|missing), empty, html, redirect, drip:MILLISECONDS, huge:BYTES, garbled, \
     flap:MILLISECONDS, scramble, plain, each with +apply and \
     *COUNT if wanted, e.g. reset+apply*3"
)]
pub struct UnknownMode(String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text).ok_or_else(|| UnknownMode(text.to_owned()))
    }
}

fn read(text: &str) -> Option<Mode> {
    let (text, remaining) = match text.split_once('*') {
        Some((text, count)) => (text, Some(count.parse().ok()?)),
        None => (text, None),
    };
    let (text, apply) = text
        .strip_suffix("+apply")
        .map_or((text, false), |text| (text, true));
    let mut words = text.split(':');
    let answer = match words.next()? {
        "ok" => Answer::Ok,
        "status" => Answer::Status(
            words
                .next()?
                .parse()
                .ok()
                .filter(|status| (400..=599).contains(status))?,
        ),
        "busy" => Answer::Busy(words.next()?.parse().ok()?),
        "slow" => Answer::Slow(Duration::from_millis(words.next()?.parse().ok()?)),
        "hang" => Answer::Hang,
        "reset" => Answer::Reset,
        "partial" => Answer::Partial {
            every: words.next()?.parse().ok()?,
            denial: [Denial::Retry, Denial::Rejected, Denial::Missing]
                .into_iter()
                .zip(std::iter::repeat(words.next()?))
                .find_map(|(denial, word)| (denial.word() == word).then_some(denial))?,
        },
        "empty" => Answer::Empty,
        "html" => Answer::Html,
        "redirect" => Answer::Redirect,
        "drip" => Answer::Drip(Duration::from_millis(words.next()?.parse().ok()?)),
        "huge" => Answer::Huge(words.next()?.parse().ok().filter(|bytes| *bytes <= MOST_BYTES)?),
        "garbled" => Answer::Garbled,
        "flap" => Answer::Flap(Duration::from_millis(words.next()?.parse().ok()?)),
        "scramble" => Answer::Scramble,
        "plain" => Answer::Plain,
        _ => return None,
    };
    words.next().is_none().then_some(Mode {
        answer,
        apply,
        remaining,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_reads_back_as_it_prints() {
        for text in [
            "ok",
            "status:503",
            "status:422+apply*10",
            "busy:2*1",
            "slow:300",
            "hang+apply",
            "reset*7",
            "reset+apply",
            "partial:3:retry",
            "partial:1:rejected*2",
            "partial:2:missing",
            "empty+apply",
            "html",
            "redirect",
            "drip:1000+apply*2",
            "huge:2000000*1",
            "garbled",
            "flap:2000",
            "scramble*1",
            "plain",
        ] {
            let mode: Mode = text.parse().unwrap();
            assert_eq!(mode.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "OK",
            "ok:1",
            "status",
            "status:200",
            "status:600",
            "busy",
            "slow:-1",
            "hang*0",
            "partial:0:retry",
            "partial:2",
            "partial:2:maybe",
            "reset+apply*",
            "drip",
            "huge:-1",
            "huge:99999999999",
            "flap:x",
            "ok+appl",
            "ok*x",
        ] {
            assert!(text.parse::<Mode>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_counted_mode_ends_by_itself() {
        let mut mode = Mode::always(Answer::Status(503)).times(2);
        assert_eq!(mode.take().answer, Answer::Status(503));
        assert_eq!(mode.take().answer, Answer::Status(503));
        assert_eq!(mode.take(), Mode::OK);
        assert_eq!(mode.take(), Mode::OK);
        let mut lasting = Mode::always(Answer::Hang).times(0);
        lasting.take();
        assert_eq!(lasting.take().answer, Answer::Hang);
    }
}
