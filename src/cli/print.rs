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
    let header = header.map(str::to_owned);
    let lines: Vec<&[String; N]> = std::iter::once(&header).chain(rows).collect();
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(*line) {
            *width = cell.chars().count().max(*width);
        }
    }
    for cells in lines {
        let padded: Vec<String> = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        line(padded.join("  ").trim_end())?;
    }
    Ok(())
}
