//! Which pages are carried out, and why the others are not.

use std::collections::BTreeSet;

use crate::{database, disk, forwarding, pages::Page, processes, queues, redis, security};

/// The pages with scenarios.
const CARRIED_OUT: &[&[&str]] = &[
    database::PAGES,
    disk::PAGES,
    forwarding::PAGES,
    processes::PAGES,
    queues::PAGES,
    redis::PAGES,
    security::PAGES,
];

/// Pages whose trouble cannot be made here, with the reason.
const WITHOUT: &[(&str, &str)] = &[
    (
        "TsmsCpuHigh",
        "to fill the processors of the machine would slow the other tests, and they would fill them too: the cure \
         could not be told from their end. promtool tests the rule",
    ),
    (
        "TsmsMemoryHigh",
        "to fill the memory of the machine may kill what runs beside the test. promtool tests the rule",
    ),
    (
        "TsmsVersionsMixed",
        "it needs a build of another version. promtool tests the rule",
    ),
];

#[test]
fn every_page_is_carried_out_or_says_why_not() {
    let carried: Vec<&str> = CARRIED_OUT.iter().copied().flatten().copied().collect();
    let without = WITHOUT.iter().map(|(page, reason)| {
        assert!(reason.len() > 10, "{page}: {reason}");
        *page
    });
    let mut told = BTreeSet::new();
    for page in carried.into_iter().chain(without) {
        assert!(told.insert(page.to_owned()), "{page} is told twice");
    }
    let pages: BTreeSet<String> = Page::all().into_iter().collect();
    assert_eq!(pages, told);
}

#[test]
fn a_page_marks_commands_only_if_they_are_carried_out() {
    for (page, _) in WITHOUT {
        let page = Page::read(page);
        assert!(page.cures.is_empty() && page.looks.is_empty(), "{page:?}");
    }
}
