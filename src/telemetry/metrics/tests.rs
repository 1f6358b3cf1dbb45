use super::{table::*, *};
use crate::{domain::time::Timestamp, queue::Depth};

#[test]
fn names_follow_the_convention() {
    for metric in TABLE {
        assert!(metric.name.starts_with("tsms_"), "{}", metric.name);
        assert_eq!(
            metric.name.ends_with("_total"),
            matches!(metric.kind, Kind::Counter),
            "{}",
            metric.name
        );
        assert!(metric.help.ends_with('.'), "{}", metric.name);
        if let Kind::Histogram(buckets) = metric.kind {
            assert!(!buckets.is_empty() && buckets.is_sorted(), "{}", metric.name);
        }
    }
    for metric in TABLE {
        for label in metric.labels {
            let bound = LABELS.iter().find(|bound| bound.name == *label);
            assert!(
                bound.is_some_and(|bound| bound.most > 0),
                "{}: no bound of {label}",
                metric.name
            );
        }
        assert!(!metric.unit.is_empty(), "{}", metric.name);
        for (suffix, unit) in [("_seconds", "seconds"), ("_bytes", "bytes")] {
            assert!(
                !metric.name.ends_with(suffix) || metric.unit.starts_with(unit),
                "{}",
                metric.name
            );
        }
    }
    let stages: Vec<&str> = Stage::ALL.iter().map(|stage| stage.name()).collect();
    for label in ["queue", "stage"] {
        let bound = LABELS.iter().find(|bound| bound.name == label).unwrap();
        assert_eq!(bound.known, stages, "the stages by the label {label}");
    }
    let mut names: Vec<_> = TABLE.iter().map(|metric| metric.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TABLE.len(), "a name is declared twice");
}

/// One test, because the recorder belongs to the process.
#[test]
fn what_is_recorded_is_rendered() {
    install();
    install();
    let _speaks = SpeaksForFleet::new();
    dead_letters(0);
    for stage in Stage::ALL {
        queue_depth(stage, &Depth::default());
    }
    let shows = |line: &str| {
        let text = render();
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    };
    shows("tsms_dead_letters 0");
    shows("tsms_enqueue_left_to_sweeper_total 0");
    shows(r#"tsms_queue_jobs{queue="audit",class="low",state="ready"} 0"#);

    let depth = Depth {
        ready: 7,
        oldest: Some(Timestamp::now().minus(Duration::from_secs(60))),
        ..Depth::default()
    };
    queue_depth(Stage::Audit, &depth);
    shows(r#"tsms_queue_jobs{queue="audit",class="low",state="ready"} 7"#);
    assert!(!render().contains(r#"tsms_queue_oldest_age_seconds{queue="audit"} 0"#));
    queue_depth(Stage::Audit, &Depth::default());
    shows(r#"tsms_queue_jobs{queue="audit",class="low",state="ready"} 0"#);
    shows(r#"tsms_queue_oldest_age_seconds{queue="audit"} 0"#);

    let before = jobs_so_far(Stage::Notification, "rejected");
    let refused = Verdict::Reject { code: "no_callback" };
    set_worked(
        Stage::Notification,
        &[Verdict::Done, refused.clone(), refused],
        Duration::from_millis(3),
    );
    assert_eq!(jobs_so_far(Stage::Notification, "rejected"), before + 2);
    assert!(render().contains(r#"tsms_stage_set_seconds_bucket{stage="notification",le="0.005"}"#));

    request("/api/v1/x", "POST", 202, Duration::from_millis(1));
    shows(r#"tsms_http_requests_total{route="/api/v1/x",method="POST",code="202"} 1"#);
    statements(&[("submissions.insert", 5)]);
    statements(&[("submissions.insert", 5)]);
    shows(r#"tsms_store_statements_total{statement="submissions.insert"} 5"#);
    assert!(render().contains("process_open_fds"));
}
