//! What of a frame a person sees, in words: the same for the screen and for plain text.

use std::time::Duration;

use tsms::{
    domain::{breaker::Breaker, hold::Hold, time::Timestamp},
    letters::Cause,
    queue::Depth,
};

use super::{
    frame::{Crew, Frame, Held, QueueRow, Record},
    pace::{Pace, Rate},
};
use crate::cli::breaker;

/// A job that is older than this is late; the alert for it says the same.
const LATE: Duration = Duration::from_secs(60);

/// A table with its title.
pub(super) struct Section {
    pub(super) title: String,
    pub(super) columns: &'static [Column],
    pub(super) rows: Vec<Row>,
}

/// A column by its name, and whether it holds numbers.
pub(super) struct Column(pub(super) &'static str, pub(super) bool);

/// A line of a table.
pub(super) struct Row {
    pub(super) level: Level,
    pub(super) cells: Vec<String>,
}

/// How much a line wants to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Well,
    Note,
    Bad,
}

impl Section {
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.columns.iter().map(|column| column.0).collect()
    }

    fn new(title: String, columns: &'static [Column], rows: Vec<Row>) -> Self {
        Self { title, columns, rows }
    }
}

impl Row {
    fn new(level: Level, cells: Vec<String>) -> Self {
        let cells = cells.iter().map(|cell| clean(cell)).collect();
        Self { level, cells }
    }
}

/// The line above it all.
pub(super) fn title(frame: &Frame) -> String {
    let tier = if frame.embedded { "embedded" } else { "fleet" };
    format!("tsms top · {} · {tier}", frame.at.to_rfc3339(0))
}

/// What could not be read, a line each.
pub(super) fn faults(frame: &Frame) -> Vec<String> {
    frame
        .faults
        .iter()
        .map(|fault| clean(&fault.to_string()))
        .collect()
}

/// The queues, then what the record says, where it could be read.
pub(super) fn all(frame: &Frame) -> Vec<Section> {
    let mut sections = vec![queues(frame)];
    if let Some(record) = &frame.record {
        sections.extend(of_record(record, frame.at));
    }
    sections
}

/// The four tables of the record.
pub(super) fn of_record(record: &Record, now: Timestamp) -> [Section; 4] {
    [
        breakers(record, now),
        sales(record),
        letters(record, now),
        holds(record, now),
    ]
}

/// Every queue.
pub(super) fn queues(frame: &Frame) -> Section {
    const COLUMNS: &[Column] = &[
        Column("queue", false),
        Column("ready", true),
        Column("taken", true),
        Column("later", true),
        Column("parked", true),
        Column("age", true),
        Column("in/s", true),
        Column("out/s", true),
        Column("drain", true),
        Column("width", true),
        Column("procs", true),
        Column("held", false),
    ];
    let title = match frame.measured() {
        Some(span) => format!("Queues · rates over {} s", Rate(tenths(span))),
        None => "Queues · rates with the next look".to_owned(),
    };
    Section::new(title, COLUMNS, frame.queues.iter().map(queue).collect())
}

fn queue(row: &QueueRow) -> Row {
    let depth = |of: fn(&Depth) -> u64| known(row.depth.as_ref().map(|(depth, _)| count(of(depth))));
    let age = row.depth.as_ref().and_then(|(_, age)| *age);
    let pace = |of: fn(&Pace) -> String| known(row.pace.as_ref().map(of));
    let crew = |of: fn(&Crew) -> String| known(row.crew.as_ref().map(of));
    let parked = row.depth.as_ref().is_some_and(|(depth, _)| depth.parked > 0);
    let level = match row.crew {
        Some(crew) if crew.processes == 0 => Level::Bad,
        Some(crew) if crew.held != Held::No => Level::Note,
        _ if parked || age.is_some_and(|age| age > LATE) => Level::Note,
        _ => Level::Well,
    };
    let cells = vec![
        row.stage.name().to_owned(),
        depth(|depth| depth.ready),
        depth(|depth| depth.in_flight),
        depth(|depth| depth.delayed),
        depth(|depth| depth.parked),
        known(age.map(span)),
        pace(|pace| rate(pace.comes())),
        pace(|pace| rate(pace.goes())),
        pace(|pace| pace.drain().map_or("never".to_owned(), span)),
        crew(|crew| count(crew.width)),
        crew(|crew| count(crew.processes)),
        crew(|crew| match crew.held {
            Held::No => String::new(),
            Held::Tenants(tenants) => format!("{tenants} t"),
            Held::All => "all".to_owned(),
        }),
    ];
    Row::new(level, cells)
}

fn breakers(record: &Record, now: Timestamp) -> Section {
    const COLUMNS: &[Column] = &[
        Column("sink", false),
        Column("state", false),
        Column("for", true),
        Column("why", false),
    ];
    let shut = |breaker: &&Breaker| !breaker.stance(now).lets_through();
    let away = record.breakers.iter().filter(shut).count();
    let rows = record.breakers.iter().map(|breaker| {
        let stance = breaker.stance(now);
        let level = if stance.lets_through() {
            Level::Well
        } else {
            Level::Bad
        };
        let never = breaker.changed_at.as_micros() == 0;
        let since = known((!never).then(|| span(now.since(breaker.changed_at))));
        let why = breaker::why(breaker, now);
        Row::new(
            level,
            vec![breaker.sink.clone(), stance.word().to_owned(), since, why],
        )
    });
    let title = format!("Breakers · {away} of {} keep sales back", record.breakers.len());
    Section::new(title, COLUMNS, rows.collect())
}

fn sales(record: &Record) -> Section {
    const COLUMNS: &[Column] = &[
        Column("tenant", false),
        Column("sales", true),
        Column("invalid", true),
        Column("name", false),
    ];
    let rows = record.busiest.tenants.iter().map(|tenant| {
        let cells = vec![
            tenant.code.clone(),
            count(tenant.sales),
            count(tenant.invalid),
            tenant.name.clone(),
        ];
        Row::new(Level::Well, cells)
    });
    let since = clock(record.since);
    let title = if record.busiest.whole {
        format!("Busiest tenants since {since}")
    } else {
        format!("Busiest tenants · newest sales since {since}")
    };
    Section::new(title, COLUMNS, rows.collect())
}

fn letters(record: &Record, now: Timestamp) -> Section {
    const COLUMNS: &[Column] = &[
        Column("stage", false),
        Column("code", false),
        Column("count", true),
        Column("last", true),
        Column("example", false),
    ];
    let row = |cause: &Cause| {
        let cells = vec![
            cause.stage.clone(),
            cause.code.clone(),
            count(cause.letters),
            span(now.since(cause.newest)),
            cause.example.clone(),
        ];
        Row::new(Level::Bad, cells)
    };
    let part = if record.causes_whole {
        ""
    } else {
        " · causes of the oldest"
    };
    let title = format!("Dead letters · {}{part}", record.letters);
    Section::new(title, COLUMNS, record.causes.iter().map(row).collect())
}

fn holds(record: &Record, now: Timestamp) -> Section {
    const COLUMNS: &[Column] = &[
        Column("queue", false),
        Column("tenant", true),
        Column("ends", true),
        Column("owner", false),
        Column("reason", false),
    ];
    let row = |hold: &Hold| {
        let queue = hold.queue.as_deref().unwrap_or("every queue");
        let cells = vec![
            queue.to_owned(),
            known(hold.tenant_id.map(|id| id.to_string())),
            span(hold.ends_at.since(now)),
            hold.owner.clone(),
            hold.reason.clone(),
        ];
        Row::new(Level::Note, cells)
    };
    let title = format!("Paused · {}", record.holds.len());
    Section::new(title, COLUMNS, record.holds.iter().map(row).collect())
}

/// Texts that people wrote reach the terminal without what would steer it.
fn clean(text: &str) -> String {
    let letter = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(letter).collect()
}

fn known(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

/// A count in at most five characters.
fn count(number: u64) -> String {
    match number {
        0..100_000 => number.to_string(),
        100_000..10_000_000 => format!("{}k", number / 1000),
        _ => format!("{}M", number / 1_000_000),
    }
}

/// A rate in at most five characters, as long as it is below 10,000,000,000 a second.
fn rate(rate: Rate) -> String {
    match rate.0 {
        0..10_000 => rate.to_string(),
        tenths => count(tenths / 10),
    }
}

/// A time span in at most four characters, as long as it is below 28 years.
fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..100 => format!("{seconds}s"),
        seconds @ 100..6000 => format!("{}m", seconds / 60),
        seconds @ 6000..360_000 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

fn tenths(span: Duration) -> u64 {
    u64::try_from(span.as_millis() / 100).unwrap_or(u64::MAX)
}

/// The time of day to the minute.
fn clock(at: Timestamp) -> String {
    let text = at.to_rfc3339(0);
    let time = text.split_once('T').and_then(|(_, time)| time.rsplit_once(':'));
    time.map_or(text.clone(), |(time, _)| format!("{time} UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stay_short() {
        for (number, told) in [
            (0, "0"),
            (99_999, "99999"),
            (123_456, "123k"),
            (12_345_678, "12M"),
        ] {
            assert_eq!(count(number), told);
        }
        for (tenths, told) in [
            (5, "0.5"),
            (9_999, "999.9"),
            (10_000, "1000"),
            (1_234_560, "123k"),
        ] {
            assert_eq!(rate(Rate(tenths)), told);
        }
        for (seconds, told) in [(99, "99s"), (125, "2m"), (7200, "2h"), (864_000, "10d")] {
            assert_eq!(span(Duration::from_secs(seconds)), told);
        }
    }

    #[test]
    fn nothing_that_people_wrote_steers_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a [2Jb c");
    }
}
