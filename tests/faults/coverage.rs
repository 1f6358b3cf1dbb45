//! Which pages are carried out, and why the others are not.

use std::collections::BTreeSet;

use crate::{forwarding, pages::Page};

/// The pages with scenarios.
const CARRIED_OUT: &[&[&str]] = &[forwarding::PAGES];

/// Pages whose trouble cannot be made here, with the reason.
const WITHOUT: &[(&str, &str)] = &[
    ("TsmsAuditLag", "its scenario is still to be written"),
    ("TsmsAuthFeedLost", "its scenario is still to be written"),
    ("TsmsCapacityShort", "its scenario is still to be written"),
    ("TsmsCertificateExpires", "its scenario is still to be written"),
    ("TsmsCertificateNotTaken", "its scenario is still to be written"),
    ("TsmsConfigurationChanged", "its scenario is still to be written"),
    ("TsmsCpuHigh", "its scenario is still to be written"),
    ("TsmsDatabaseDown", "its scenario is still to be written"),
    ("TsmsDatabasePoolFull", "its scenario is still to be written"),
    ("TsmsDatabaseSlow", "its scenario is still to be written"),
    ("TsmsDeadLettersGrow", "its scenario is still to be written"),
    ("TsmsDiskFillsUp", "its scenario is still to be written"),
    ("TsmsDiskFull", "its scenario is still to be written"),
    ("TsmsErrorRateHigh", "its scenario is still to be written"),
    ("TsmsFilesHigh", "its scenario is still to be written"),
    ("TsmsFleetUnseen", "its scenario is still to be written"),
    ("TsmsForwardFailing", "its scenario is still to be written"),
    ("TsmsGuessing", "its scenario is still to be written"),
    ("TsmsIngressDown", "its scenario is still to be written"),
    ("TsmsJobsParked", "its scenario is still to be written"),
    ("TsmsJobsSwept", "its scenario is still to be written"),
    ("TsmsMemoryHigh", "its scenario is still to be written"),
    ("TsmsQueueDepthHigh", "its scenario is still to be written"),
    ("TsmsQueueDrainSlow", "its scenario is still to be written"),
    ("TsmsQueueOldestJobOld", "its scenario is still to be written"),
    ("TsmsQueuePaused", "its scenario is still to be written"),
    ("TsmsQueueProcessingSlow", "its scenario is still to be written"),
    ("TsmsQueueWithoutWorkers", "its scenario is still to be written"),
    ("TsmsRateLimitBusy", "its scenario is still to be written"),
    ("TsmsRateLimitsAlone", "its scenario is still to be written"),
    ("TsmsRedisDown", "its scenario is still to be written"),
    ("TsmsRedisMemoryHigh", "its scenario is still to be written"),
    ("TsmsRedisSlow", "its scenario is still to be written"),
    ("TsmsResponseTimeHigh", "its scenario is still to be written"),
    ("TsmsResponseTimeTarget", "its scenario is still to be written"),
    ("TsmsRestarted", "its scenario is still to be written"),
    ("TsmsSalesFailing", "its scenario is still to be written"),
    ("TsmsSloBurnFast", "its scenario is still to be written"),
    ("TsmsSloBurnSlow", "its scenario is still to be written"),
    ("TsmsTargetDown", "its scenario is still to be written"),
    ("TsmsTokenReused", "its scenario is still to be written"),
    ("TsmsVersionsMixed", "its scenario is still to be written"),
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
