//! Numbers as PHP prints them. The system in the field hashes doubles, so floats are needed here, for
//! printing alone and never for an amount that is kept; and even here a number of up to 15 significant
//! digits is printed from its own text.

use std::fmt::Write;

use super::super::decimal::Decimal;

/// Every decimal of this many digits survives the way into a double and back, so the shortest text
/// of the double is the decimal itself.
const EXACT_DIGITS: usize = 15;
/// The most digits that the shortest text of a double has.
const DOUBLE_DIGITS: usize = 17;
/// Well inside the range of doubles in either direction.
const EXACT_POINT: i64 = 300;
/// Below `10^13` a number of [`EXACT_DIGITS`] digits rounds to hundredths the same in decimal
/// arithmetic as in the field.
const EXACT_ROUNDING_POINT: i64 = 13;

/// A JSON number outside the money keys: an integer of 64 bits as it is, all else as a double.
pub(super) fn write_number(out: &mut String, text: &str) {
    if is_long(text) {
        out.push_str(if text == "-0" { "0" } else { text });
    } else {
        write_double(out, text);
    }
}

/// A money key under v1 and v2.0: cast to a double. A text counts as far as it is a number.
pub(super) fn write_cast_text(out: &mut String, text: &str) {
    write_double(out, text);
}

/// As [`write_cast_text`], for a JSON number: an integer has no negative zero.
pub(super) fn write_cast_number(out: &mut String, text: &str) {
    write_double(out, if text == "-0" { "0" } else { text });
}

/// A money key under v2.1: two decimals, rounded half up on 15 significant digits. `false`, and
/// nothing written, when the text is not numeric.
pub(super) fn write_hundredths(out: &mut String, text: &str) -> bool {
    let Some(number) = Decimal::parse(text) else {
        return false;
    };
    let exact = number.significant() <= EXACT_DIGITS && number.point() <= EXACT_ROUNDING_POINT;
    match number.hundredths(18) {
        Some((magnitude, _)) if exact => {
            let sign = if number.is_negative() && magnitude > 0 {
                "-"
            } else {
                ""
            };
            push(
                out,
                format_args!("{sign}{}.{:02}", magnitude / 100, magnitude % 100),
            );
        }
        _ => write_rounded(out, parse_double(text)),
    }
    true
}

fn is_long(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || b == b'-') && text.parse::<i64>().is_ok()
}

/// Writing to a string cannot fail.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).unwrap_or_default();
}

/// The double that the longest numeric beginning of a text stands for; 0 when there is none.
fn parse_double(text: &str) -> f64 {
    let Some((_, rest)) = Decimal::prefix(text) else {
        return 0.0;
    };
    let number = text.get(..text.len() - rest.len()).unwrap_or_default();
    number
        .trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}')
        .parse()
        .unwrap_or(0.0)
}

fn write_double(out: &mut String, text: &str) {
    match Decimal::prefix(text) {
        None => out.push('0'),
        Some((number, _)) => {
            if number.is_negative() {
                out.push('-');
            }
            if number.significant() <= EXACT_DIGITS && number.point().abs() < EXACT_POINT {
                write_digits(out, &number);
            } else {
                write_shortest(out, parse_double(text).abs());
            }
        }
    }
}

/// The shortest text that reads back as `value`, which is not negative; of two such texts the even one.
fn write_shortest(out: &mut String, value: f64) {
    if value.is_infinite() {
        // PHP hashes the empty string here, which would make the check void. No client prints this.
        out.push_str("INF");
    } else if let Some((number, _)) = Decimal::prefix(ryu::Buffer::new().format_finite(value)) {
        write_digits(out, &number);
    }
}

fn write_digits(out: &mut String, number: &Decimal<'_>) {
    let mut digits = [b'0'; DOUBLE_DIGITS];
    for (place, digit) in digits.iter_mut().zip(number.digits()) {
        *place = digit;
    }
    let used = digits.get(..number.significant()).unwrap_or_default();
    layout(out, std::str::from_utf8(used).unwrap_or_default(), number.point());
}

/// Lays out `0.digits × 10^point` the way PHP does with 17 places: plain up to there, else with an
/// exponent and at least one decimal.
fn layout(out: &mut String, digits: &str, point: i64) {
    if digits.is_empty() {
        out.push('0');
    } else if (-3..=17).contains(&point) {
        let whole = usize::try_from(point).unwrap_or(0);
        match digits.split_at_checked(whole) {
            Some((whole, fraction)) => {
                out.push_str(if whole.is_empty() { "0" } else { whole });
                if !fraction.is_empty() {
                    out.push('.');
                    out.extend((point..0).map(|_| '0'));
                    out.push_str(fraction);
                }
            }
            None => {
                out.push_str(digits);
                out.extend((digits.len()..whole).map(|_| '0'));
            }
        }
    } else {
        let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, ""));
        let rest = if rest.is_empty() { "0" } else { rest };
        push(out, format_args!("{first}.{rest}e{:+}", point - 1));
    }
}

/// `number_format(value, 2, '.', '')` of PHP 8.2, step by step: pre-rounding to 15 digits included.
#[expect(
    clippy::float_arithmetic,
    reason = "reproduces the rounding of doubles that clients of the field hash"
)]
fn write_rounded(out: &mut String, value: f64) {
    let rounded = if value == 0.0 || value.is_infinite() {
        value
    } else {
        let places = 14.0 - value.abs().log10().floor();
        if places > 2.0 && places - 15.0 < 2.0 {
            let whole = half_up(value * 10_f64.powf(places)) / 10_f64.powf(places - 2.0);
            half_up(whole) / 100.0
        } else if (value * 100.0).abs() >= 1e15 {
            value
        } else {
            half_up(value * 100.0) / 100.0
        }
    };
    if rounded.is_infinite() {
        out.push_str(if rounded < 0.0 { "-inf" } else { "inf" });
    } else {
        let positive_zero = if rounded == 0.0 { 0.0 } else { rounded };
        push(out, format_args!("{positive_zero:.2}"));
    }
}

#[expect(clippy::float_arithmetic, reason = "see write_rounded")]
fn half_up(value: f64) -> f64 {
    if value >= 0.0 {
        (value + 0.5).floor()
    } else {
        (value - 0.5).ceil()
    }
}
