//! Standard output: lines and tables for people, JSON for scripts.

use std::{
    fmt::Display,
    io::{self, Write},
};

use serde::Serialize;

use super::Failure;

/// One line.
pub(super) fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// One JSON document, a line of its own.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    Ok(line(serde_json::to_string(value)?)?)
}

/// Columns as wide as their widest cell. Nothing but the header tells that there are no rows.
pub(super) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    columns(&header, rows.iter().map(<[String; N]>::as_slice))
}

/// The same where the number of columns is not fixed.
pub(super) fn columns<'r>(
    header: &[&str],
    rows: impl Iterator<Item = &'r [String]> + Clone,
) -> io::Result<()> {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows.clone() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let padded = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        line(cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    padded(&mut header.iter().copied())?;
    for row in rows {
        padded(&mut row.iter().map(String::as_str))?;
    }
    Ok(())
}
