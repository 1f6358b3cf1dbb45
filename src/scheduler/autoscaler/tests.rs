use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::config::Config;

static RULES: LazyLock<Autoscaler> = LazyLock::new(|| Config::load(None).unwrap().autoscaler);

const SPAN: Span = Span { min: 1, max: 8 };

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(0).plus(Duration::from_secs(seconds))
}

fn seen(seconds: u64, width: u64, ready: u64) -> Seen {
    Seen {
        at: at(seconds),
        width,
        ready,
        processes: 1,
        load: Load::default(),
        paused: false,
        pinned_until: at(0),
        ceiling: 32,
    }
}

/// The first move within `seconds` of looks every 5 s at a queue that does not change.
fn first_move(watch: &mut Watch, look: impl Fn(u64) -> Seen, seconds: u64) -> Option<(u64, u64)> {
    (0..=seconds)
        .step_by(5)
        .find_map(|second| match watch.step(&RULES, SPAN, &look(second)) {
            Step::Move { becomes, .. } => Some((second, becomes)),
            Step::Stay | Step::Short { .. } => None,
        })
}

#[test]
fn a_backlog_widens_after_its_time_and_idleness_narrows_after_its_own() {
    let mut watch = Watch::default();
    assert_eq!(first_move(&mut watch, |s| seen(s, 4, 1001), 1000), Some((300, 6)));
    let mut watch = Watch::default();
    assert_eq!(first_move(&mut watch, |s| seen(s, 4, 99), 1000), Some((600, 3)));
    // Between the two nothing moves, and neither does one that is interrupted.
    let mut watch = Watch::default();
    assert_eq!(first_move(&mut watch, |s| seen(s, 4, 500), 100_000), None);
    let on_and_off = |s| seen(s, 4, if s % 290 < 280 { 5000 } else { 200 });
    assert_eq!(first_move(&mut watch, on_and_off, 100_000), None);
}

#[test]
fn nothing_moves_what_a_person_holds_or_nobody_works_on() {
    for ready in [0, 5000] {
        let paused = |s| Seen {
            paused: true,
            ..seen(s, 4, ready)
        };
        let alone = |s| Seen {
            processes: 0,
            ..seen(s, 4, ready)
        };
        let pinned = |s| Seen {
            pinned_until: at(50_000),
            ..seen(s, 4, ready)
        };
        assert_eq!(first_move(&mut Watch::default(), paused, 40_000), None);
        assert_eq!(first_move(&mut Watch::default(), alone, 40_000), None);
        assert_eq!(first_move(&mut Watch::default(), pinned, 40_000), None);
        let released = first_move(&mut Watch::default(), pinned, 60_000);
        assert_eq!(
            released.map(|(second, _)| second),
            Some(50_000),
            "at the end of the pin"
        );
    }
}

#[test]
fn what_is_in_the_way_is_named() {
    let busy = |load: Load| {
        move |s: u64| Seen {
            load,
            ..seen(s, 4, 5000)
        }
    };
    let load = Load {
        cpu: 700,
        memory: 800,
        pool: 900,
    };
    assert!(
        first_move(&mut Watch::default(), busy(load), 300).is_some(),
        "not above"
    );
    for (load, obstacle) in [
        (Load { cpu: 701, ..load }, Obstacle::Cpu),
        (Load { memory: 801, ..load }, Obstacle::Memory),
        (Load { pool: 901, ..load }, Obstacle::Pool),
    ] {
        let mut watch = Watch::default();
        assert_eq!(first_move(&mut watch, busy(load), 1000), None);
        let step = watch.step(&RULES, SPAN, &busy(load)(1005));
        assert_eq!(step, Step::Short { wants: 6, obstacle });
    }
    for (look, obstacle) in [
        (
            Seen {
                ceiling: 4,
                ..seen(300, 4, 5000)
            },
            Obstacle::Connections,
        ),
        (
            Seen {
                pinned_until: at(999),
                ..seen(300, 4, 5000)
            },
            Obstacle::Pinned,
        ),
        (seen(300, 8, 5000), Obstacle::Span),
    ] {
        let mut watch = Watch::default();
        watch.step(&RULES, SPAN, &Seen { at: at(0), ..look });
        match watch.step(&RULES, SPAN, &look) {
            Step::Short { obstacle: found, .. } => assert_eq!(found, obstacle),
            other => panic!("{other:?} in spite of {obstacle:?}"),
        }
    }
    // A narrow ceiling is used as far as it goes.
    let low = |s| Seen {
        ceiling: 5,
        ..seen(s, 4, 5000)
    };
    assert_eq!(first_move(&mut Watch::default(), low, 300), Some((300, 5)));
}

/// Works a queue off for `hours`: `arrive` jobs a second come, each set does `each` a second. Says when
/// it was made wider or narrower.
fn play(arrive: u64, each: u64, hours: u64) -> Vec<(u64, u64, u64)> {
    let (mut watch, mut width, mut ready, mut moves) = (Watch::default(), 2, 0_u64, Vec::new());
    for second in (0..hours * 3600).step_by(5) {
        ready = (ready + arrive * 5).saturating_sub(width * each * 5);
        if let Step::Move { becomes, .. } = watch.step(&RULES, SPAN, &seen(second, width, ready)) {
            moves.push((second, width, becomes));
            width = becomes;
        }
    }
    moves
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is seen, a queue is not moved out of its span nor above what the connections carry, and
    /// what it moves by itself is one step at a time.
    #[test]
    fn it_stays_within_the_span_and_the_budget(
        min in 1_u64..6, more in 0_u64..10,
        looks in prop::collection::vec(
            (1_u64..700, 0_u64..3000, 0_u64..40, 0_u64..1001, prop::bool::weighted(0.05), 0_u64..3), 1..400),
        start in 1_u64..20,
    ) {
        let span = Span { min, max: min + more };
        let (mut watch, mut width, mut second) = (Watch::default(), start, 0);
        for (later, ready, ceiling, cpu, paused, processes) in looks {
            second += later;
            let load = Load { cpu, memory: cpu / 2, pool: cpu / 3 };
            let look = Seen { ceiling, paused, processes, load, ..seen(second, width, ready) };
            if let Step::Move { becomes, why } = watch.step(&RULES, span, &look) {
                prop_assert!((span.min..=span.max).contains(&becomes), "{} to {}", width, becomes);
                prop_assert!(becomes != width);
                prop_assert!(becomes < width || becomes <= ceiling, "{becomes} above {ceiling}");
                prop_assert!(!paused && processes > 0);
                prop_assert!(!why.is_empty());
                width = becomes;
            }
        }
    }

    /// A load that does not change is met within a few hours, and from then on a queue is tried narrower
    /// ever more seldom.
    #[test]
    fn a_constant_load_does_not_make_it_flap(arrive in 1_u64..1000, each in 50_u64..200) {
        let moves = play(arrive, each, 96);
        let narrowed: Vec<u64> =
            moves.iter().filter(|(_, was, becomes)| becomes < was).map(|(second, ..)| *second).collect();
        let last_days = narrowed.iter().filter(|second| **second > 48 * 3600).count();
        // 600 s doubled six times is 10.7 hours, and one such try may take two steps.
        prop_assert!(last_days <= 10, "{moves:?}");
        for pair in moves.windows(2) {
            let (first, then) = (&pair[0], &pair[1]);
            prop_assert!(then.0 - first.0 >= 300, "too soon: {pair:?}");
            if then.2 < then.1 && first.2 > first.1 {
                prop_assert!(then.0 - first.0 >= 600, "narrowed right after it was widened: {pair:?}");
            }
        }
        let width = moves.last().map_or(2, |(_, _, becomes)| *becomes);
        let needed = arrive.div_ceil(each).clamp(SPAN.min, SPAN.max);
        prop_assert!(width + 1 >= needed, "{width} sets for {needed}: {moves:?}");
    }
}
