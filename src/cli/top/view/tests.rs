//! The screen as a person sees it, at the sizes that people have.

use ratatui::{Terminal, backend::TestBackend};
use tsms::{
    domain::{breaker::Breaker, hold::Hold, time::Timestamp},
    letters::Cause,
    queue::{Depth, Moved},
    stage::Stage,
    store::{Busiest, BusyTenant},
};

use super::*;
use crate::cli::top::{
    frame::{Crew, Fault, Held, QueueRow, Record, Source},
    pace::Pace,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_790_000_000 + seconds) * 1_000_000)
}

fn busy() -> Frame {
    let queues = Stage::ALL.into_iter().map(|stage| QueueRow {
        stage,
        depth: Some((
            Depth {
                ready: 123_456,
                in_flight: 500,
                delayed: 7,
                parked: 1,
                oldest: None,
            },
            Some(Duration::from_secs(7500)),
        )),
        pace: Some(Pace {
            moved: Moved {
                added: 5000,
                worked_off: 2500,
            },
            took: Duration::from_secs(10),
            left: 123_956,
        }),
        crew: Some(Crew {
            width: 4,
            processes: 2,
            sets: 8,
            held: if stage == Stage::Forwarding {
                Held::All
            } else {
                Held::No
            },
        }),
    });
    let mut open = Breaker::untouched("a-sink-with-a-very-long-name-in-the-mall-of-asia");
    open.open = true;
    open.changed_at = at(-90);
    open.open_until = at(30);
    open.cause = "HTTP 503 five times in a row".to_owned();
    let tenant = |id: i64| BusyTenant {
        id,
        code: format!("CC-{id:03}"),
        name: "Ñandú & Señoritas, a shop with a long name".to_owned(),
        sales: 2_000_000 / u64::try_from(id).unwrap(),
        invalid: 3,
    };
    Frame {
        at: at(0),
        embedded: false,
        queues: queues.collect(),
        record: Some(Record {
            holds: vec![Hold {
                id: 1,
                queue: Some("forwarding".to_owned()),
                tenant_id: None,
                owner: "J. Cruz".to_owned(),
                reason: "web application moves".to_owned(),
                created_at: at(-60),
                ends_at: at(3600),
                lifted_at: None,
            }],
            breakers: vec![open, Breaker::untouched("webapp")],
            letters: 12,
            causes: vec![Cause {
                cause: "abc".to_owned(),
                stage: "forwarding".to_owned(),
                code: "webapp_refused".to_owned(),
                letters: 12,
                oldest: at(-7200),
                newest: at(-60),
                example: "HTTP 422 no such tenant".to_owned(),
            }],
            causes_whole: true,
            since: at(-300),
            busiest: Busiest {
                tenants: (1..=10).map(tenant).collect(),
                whole: true,
            },
        }),
        faults: Vec::new(),
    }
}

fn shown(frame: Option<Frame>, paused: bool, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let screen = Screen {
        frame,
        every: Duration::from_secs(2),
        paused,
    };
    terminal.draw(|canvas| draw(canvas, &screen)).unwrap();
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for y in 0..height {
        let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
}

#[test]
fn a_small_terminal_shows_every_figure_of_the_queues() {
    let text = shown(Some(busy()), false, (80, 24));
    let queues = "\
queue        ready taken later parked age in/s  out/s drain width procs held
validation   123k    500     7      1  2h 500.0 250.0    8m     4     2
processing   123k    500     7      1  2h 500.0 250.0    8m     4     2
forwarding   123k    500     7      1  2h 500.0 250.0    8m     4     2 all
audit        123k    500     7      1  2h 500.0 250.0    8m     4     2
notification 123k    500     7      1  2h 500.0 250.0    8m     4     2
";
    let spaced = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let words = spaced(&text).join(" ");
    has(&words, &[&spaced(queues).join(" ")]);
    has(
        &text,
        &[
            "Queues · rates over 10.0 s",
            "Breakers · 1 of 2 keep sales back",
            "open",
            "90s",
            "CC-001",
            "2000k",
            "Dead letters · 12",
            "webapp_refused",
            "Paused · 1",
            "Busiest tenants since 14:08 UTC",
            "4 more",
            "q quit",
        ],
    );
}

#[test]
fn a_wide_terminal_shows_names_and_reasons_whole() {
    let text = shown(Some(busy()), true, (200, 50));
    has(
        &text,
        &[
            "HTTP 503 five times in a row",
            "Ñandú & Señoritas, a shop with a long name",
            "HTTP 422 no such tenant",
            "J. Cruz web application moves",
            "CC-010",
            "stopped, p goes on",
        ],
    );
    assert!(!text.contains(" more"), "{text}");
}

#[test]
fn what_is_not_known_is_no_zero() {
    let mut first = busy();
    for queue in &mut first.queues {
        queue.pace = None;
    }
    let text = shown(Some(first), false, (80, 24));
    has(&text, &["rates with the next look", "-     -     -"]);
    has(&shown(None, false, (80, 24)), &["looking …", "every 2 s"]);

    let mut still = busy();
    let moved = Moved {
        added: 0,
        worked_off: 0,
    };
    for queue in &mut still.queues {
        queue.pace = queue.pace.map(|pace| Pace { moved, ..pace });
    }
    has(&shown(Some(still), false, (80, 24)), &["0.0", "never"]);
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_shown() {
    let mut broken = busy();
    for queue in &mut broken.queues {
        (queue.depth, queue.pace) = (None, None);
    }
    broken.faults.push(Fault {
        source: Source::Queues,
        why: "queue unavailable: connection\u{1b}[2J refused".to_owned(),
    });
    let text = shown(Some(broken), false, (80, 24));
    let word = "cannot read the queues: queue unavailable: connection [2J refused";
    has(&text, &[word, "CC-001", "Dead letters · 12"]);

    let mut blind = busy();
    blind.record = None;
    for queue in &mut blind.queues {
        queue.crew = None;
    }
    has(&shown(Some(blind), false, (80, 24)), &["123k", "notification"]);
}

#[test]
fn a_quiet_system_says_none() {
    let mut quiet = busy();
    let record = quiet.record.as_mut().unwrap();
    record.holds.clear();
    record.causes.clear();
    record.letters = 0;
    record.busiest.tenants.clear();
    let text = shown(Some(quiet), false, (80, 24));
    assert_eq!(text.matches("none").count(), 3, "{text}");
}

#[test]
fn no_size_is_too_small() {
    for size in [(1, 1), (20, 5), (40, 10), (79, 9), (300, 3)] {
        shown(Some(busy()), true, size);
    }
}
