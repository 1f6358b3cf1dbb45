//! Numbers the way tills write them, canonical by their text alone; every other way of writing one is
//! left to [`number`], which is exact and slower.

use super::number;

/// With [`MAX_FRACTION`] at most 15 digits, so that the number survives the way into a double and back.
const MAX_WHOLE: usize = 11;
/// So few that the smallest fraction, 0.0001, is still printed without an exponent.
const MAX_FRACTION: usize = 4;

/// Splits a number at its point if it is of the plain form: a whole part without sign or leading
/// zeros, then perhaps a point and digits, both short.
fn plain(text: &str) -> Option<(&str, Option<&str>)> {
    let whole = text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at_checked(whole)?;
    let shortest = !whole.starts_with('0') || whole.len() == 1;
    if whole.is_empty() || whole.len() > MAX_WHOLE || !shortest {
        return None;
    }
    if rest.is_empty() {
        return Some((whole, None));
    }
    let fraction = rest.strip_prefix('.')?;
    let fits = (1..=MAX_FRACTION).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    fits.then_some((whole, Some(fraction)))
}

/// As [`number::write_number`]. A plain integer is far below 64 bits and printed as it is; a plain
/// decimal is a double, for which see [`write_cast_text`].
pub(super) fn write_number(out: &mut String, text: &str) {
    if !write_plain(out, text) {
        number::write_number(out, text);
    }
}

/// As [`number::write_cast_text`]. The shortest text of the double of a plain number is the number
/// itself without zeros at the end of its fraction: it has at most 15 digits, it lies in the range that
/// is printed without an exponent, and it has no sign, so that zero is `0`.
pub(super) fn write_cast_text(out: &mut String, text: &str) {
    if !write_plain(out, text) {
        number::write_cast_text(out, text);
    }
}

/// As [`number::write_cast_number`]; see [`write_cast_text`].
pub(super) fn write_cast_number(out: &mut String, text: &str) {
    if !write_plain(out, text) {
        number::write_cast_number(out, text);
    }
}

/// As [`number::write_hundredths`]. A plain number of up to two decimals needs no rounding: two
/// decimals of it are the text itself with zeros appended.
pub(super) fn write_hundredths(out: &mut String, text: &str) -> bool {
    let missing = match plain(text) {
        Some((_, None)) => ".00",
        Some((_, Some(fraction))) if fraction.len() == 1 => "0",
        Some((_, Some(fraction))) if fraction.len() == 2 => "",
        _ => return number::write_hundredths(out, text),
    };
    out.push_str(text);
    out.push_str(missing);
    true
}

fn write_plain(out: &mut String, text: &str) -> bool {
    let Some((whole, fraction)) = plain(text) else {
        return false;
    };
    out.push_str(whole);
    let fraction = fraction.unwrap_or_default().trim_end_matches('0');
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    true
}
