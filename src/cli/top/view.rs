//! Lays the tables of a frame out on a screen of any size.

use std::time::Duration;

use ratatui::{
    Frame as Canvas,
    layout::{Alignment, Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span, Text},
    widgets::{Cell, Row, Table},
};

use super::{
    frame::Frame,
    tables::{self, Level, Section},
};

/// Lines of what could not be read; the further ones are cut.
const MOST_FAULTS: u16 = 2;
/// The queues, their title and their header.
const QUEUE_LINES: u16 = 7;
/// Between two columns of tables.
const GUTTER: u16 = 2;

/// What is on the screen.
pub(super) struct Screen {
    /// The last look; `None` before the first.
    pub(super) frame: Option<Frame>,
    /// From one look to the next.
    pub(super) every: Duration,
    /// Whether no looks are taken, by order of the person.
    pub(super) paused: bool,
}

/// Draws all of it.
pub(super) fn draw(canvas: &mut Canvas<'_>, screen: &Screen) {
    let faults = screen.frame.as_ref().map(tables::faults).unwrap_or_default();
    let lines = u16::try_from(faults.len())
        .unwrap_or(MOST_FAULTS)
        .min(MOST_FAULTS);
    let [top, wrong, queues, upper, lower, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(lines),
        Constraint::Length(QUEUE_LINES),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(canvas.area());

    canvas.render_widget(headline(screen), top);
    let red = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
    let faults = faults.into_iter().map(|fault| Line::styled(fault, red));
    canvas.render_widget(Text::from_iter(faults), wrong);
    canvas.render_widget(Line::raw("q quit   p stop or start refreshing"), bottom);

    let Some(frame) = &screen.frame else { return };
    section(canvas, queues, &tables::queues(frame));
    let Some(record) = &frame.record else { return };
    let [breakers, sales, letters, holds] = tables::of_record(record, frame.at);
    for (area, left, right) in [(upper, breakers, sales), (lower, letters, holds)] {
        let [left_area, right_area] = Layout::horizontal([Constraint::Fill(1); 2])
            .spacing(GUTTER)
            .areas(area);
        section(canvas, left_area, &left);
        section(canvas, right_area, &right);
    }
}

fn headline(screen: &Screen) -> Line<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let title = screen
        .frame
        .as_ref()
        .map_or_else(|| "tsms top · looking …".to_owned(), tables::title);
    let every = format!(" · every {} s", screen.every.as_secs());
    let mut line = Line::from(vec![Span::styled(title, bold), Span::raw(every)]);
    if screen.paused {
        line.push_span(Span::styled(" · stopped, p goes on", bold.fg(Color::Yellow)));
    }
    line
}

/// A title, a header and as many rows as there is place for.
fn section(canvas: &mut Canvas<'_>, area: Rect, section: &Section) {
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let place = usize::from(body.height.saturating_sub(1));
    let cut = section.rows.len().saturating_sub(place);
    let bar = Style::new().add_modifier(Modifier::REVERSED);
    canvas.render_widget(Line::raw(section.title.as_str()).style(bar), head);
    if cut > 0 {
        // Over the end of the title, where there is no place for both.
        let more = format!(" {cut} more");
        let place = [Constraint::Fill(1), Constraint::Length(width(&more))];
        let [_, end] = Layout::horizontal(place).areas(head);
        canvas.render_widget(Line::raw(more).style(bar), end);
    }
    if section.rows.is_empty() {
        canvas.render_widget(Line::raw("none"), body);
        return;
    }
    let aligned = |place: usize, text: &str| {
        let numbers = section.columns.get(place).is_some_and(|column| column.1);
        let alignment = if numbers {
            Alignment::Right
        } else {
            Alignment::Left
        };
        Cell::new(Line::raw(text.to_owned()).alignment(alignment))
    };
    let names = section.names();
    let header = names.iter().enumerate().map(|(place, name)| aligned(place, name));
    let rows = section.rows.iter().take(place).map(|row| {
        let cells = row.cells.iter().enumerate();
        Row::new(cells.map(|(place, cell)| aligned(place, cell))).style(style(row.level))
    });
    let header = Row::new(header).style(Style::new().add_modifier(Modifier::BOLD));
    let table = Table::new(rows, widths(section, area.width)).header(header);
    canvas.render_widget(table.column_spacing(1), body);
}

/// Columns as wide as what is in them; one of text takes no more than two fifths of the place, and the last
/// one what is left.
fn widths(section: &Section, all: u16) -> Vec<Constraint> {
    let wide = |place: usize, name: &str| {
        let cells = section.rows.iter().filter_map(|row| row.cells.get(place));
        cells.map(|cell| width(cell)).max().unwrap_or(0).max(width(name))
    };
    let last = section.columns.len().saturating_sub(1);
    let columns = section.columns.iter().enumerate();
    columns
        .map(|(place, column)| match column.1 {
            true => Constraint::Length(wide(place, column.0)),
            false if place == last => Constraint::Fill(1),
            false => Constraint::Length(wide(place, column.0).min(all / 5 * 2)),
        })
        .collect()
}

/// Places that a text takes.
fn width(text: &str) -> u16 {
    u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX)
}

fn style(level: Level) -> Style {
    match level {
        Level::Well => Style::new(),
        Level::Note => Style::new().fg(Color::Yellow),
        Level::Bad => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}

#[cfg(test)]
mod tests;
