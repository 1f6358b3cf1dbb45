//! Decimal numbers as written, without going through a float: shared by money and the checksum.

/// Exponents are clamped here; far beyond any amount, and small enough to add without overflow.
const EXPONENT_LIMIT: i64 = 1_000_000;

/// A decimal number as written. Its value is `0.d₁d₂d₃… × 10^point`, where `d₁` is not zero unless
/// the number is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    /// Leading zeros, counted over `whole` and `fraction` together.
    lead: usize,
    /// Digits from the first to the last that is not zero.
    significant: usize,
    point: i64,
}

/// White space around a numeric string: what PHP allows, wider than JSON.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Splits off the front what satisfies `belongs`.
fn take_while(bytes: &[u8], belongs: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().take_while(|b| belongs(b)).count())
}

fn take_digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    take_while(bytes, u8::is_ascii_digit)
}

/// Reads `e±digits`; `None` when there is no complete exponent, which then is no part of the number.
fn exponent(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (mark, rest) = bytes.split_first()?;
    if !mark.eq_ignore_ascii_case(&b'e') {
        return None;
    }
    let (negative, rest) = sign(rest);
    let (digits, rest) = take_digits(rest);
    if digits.is_empty() {
        return None;
    }
    let magnitude = digits.iter().fold(0, |sum: i64, digit| {
        (sum * 10 + i64::from(digit - b'0')).min(EXPONENT_LIMIT)
    });
    Some((if negative { -magnitude } else { magnitude }, rest))
}

fn sign(bytes: &[u8]) -> (bool, &[u8]) {
    match bytes.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, bytes),
    }
}

impl<'a> Decimal<'a> {
    /// Reads a text that is a number as a whole: JSON's grammar, and what a numeric string in PHP may
    /// have besides (blanks around it, `+`, leading zeros, `.5`, `5.`).
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (number, rest) = Self::prefix(text)?;
        rest.iter().all(|b| is_blank(*b)).then_some(number)
    }

    /// Reads the longest number that `text` starts with, after blanks.
    pub(super) fn prefix(text: &'a str) -> Option<(Self, &'a [u8])> {
        let (negative, bytes) = sign(take_while(text.as_bytes(), |b| is_blank(*b)).1);
        let (whole, mut rest) = take_digits(bytes);
        let mut fraction: &[u8] = &[];
        if let Some((b'.', after)) = rest.split_first() {
            let (digits, after) = take_digits(after);
            if !(whole.is_empty() && digits.is_empty()) {
                fraction = digits;
                rest = after;
            }
        }
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (exponent, rest) = exponent(rest).unwrap_or((0, rest));
        let digits = || whole.iter().chain(fraction);
        let all = whole.len() + fraction.len();
        let lead = digits().take_while(|d| **d == b'0').count();
        let tail = digits().rev().take_while(|d| **d == b'0').count();
        let zero = lead == all;
        let position = i64::try_from(whole.len()).unwrap_or(i64::MAX) - i64::try_from(lead).unwrap_or(0);
        let number = Self {
            negative,
            whole,
            fraction,
            lead,
            significant: if zero { 0 } else { all - lead - tail },
            point: if zero {
                0
            } else {
                position.saturating_add(exponent)
            },
        };
        Some((number, rest))
    }

    pub(super) const fn is_negative(&self) -> bool {
        self.negative
    }

    pub(super) const fn is_zero(&self) -> bool {
        self.significant == 0
    }

    /// Digits from the first to the last that is not zero.
    pub(super) const fn significant(&self) -> usize {
        self.significant
    }

    /// Where the point stands: before the first significant digit when 0.
    pub(super) const fn point(&self) -> i64 {
        self.point
    }

    /// The significant digits, as ASCII.
    pub(super) fn digits(&self) -> impl Iterator<Item = u8> {
        let all = self.whole.iter().chain(self.fraction);
        all.skip(self.lead).take(self.significant).copied()
    }

    /// The magnitude in hundredths, rounded half away from zero, and whether that is exact; `None`
    /// when it has more than `max_digits` digits before rounding (at most 18).
    pub(super) fn hundredths(&self, max_digits: u8) -> Option<(u64, bool)> {
        let kept = self.point.saturating_add(2);
        if self.is_zero() || kept < 0 {
            return Some((0, self.is_zero()));
        }
        if kept > i64::from(max_digits.min(18)) {
            return None;
        }
        let kept = usize::try_from(kept).ok()?;
        let mut digits = self.digits().map(|d| u64::from(d - b'0'));
        let mut value = 0;
        for _ in 0..kept {
            value = value * 10 + digits.next().unwrap_or(0);
        }
        if digits.next().is_some_and(|next| next >= 5) {
            value += 1;
        }
        Some((value, self.significant <= kept))
    }
}
