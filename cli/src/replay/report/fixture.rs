//! Outcomes made by hand, for the tests of the reports.

use crate::replay::outcome::{Found, FoundPeriod, Outcome, Run, Spread, Tally, Timeline, Top};
use crate::replay::traffic::FileRead;

/// 2026-01-01 10:00:00 UTC.
const START: i64 = 1_767_261_600_000_000_000;
const MINUTE: u64 = 60_000_000_000;

/// Returns an outcome of one quota, which denied 12 of 1,200 requests of 40 clients in an hour. The
/// stamps leave no doubt.
pub(super) fn outcome() -> Outcome {
    Outcome {
        files: vec![FileRead {
            name: "access.log".into(),
            format: "combined".into(),
            lines: 1_200,
            matched: 1_200,
            skipped: 0,
        }],
        key: "client".into(),
        cost: "1".into(),
        requests: 1_200,
        keys: 40,
        skipped: 0,
        skipped_by: Vec::new(),
        left_out: 0,
        without_key: 0,
        out_of_order: 0,
        start_nanos: START,
        span_nanos: 3_599_000_000_000,
        places: 0,
        capacity: None,
        runs: vec![run("60/min, burst 60", vec![tally(12)])],
        find: None,
        first_skipped: Vec::new(),
        warnings: Vec::new(),
    }
}

pub(super) fn run(limits: &str, readings: Vec<Tally>) -> Run {
    Run { limits: vec![limits.into()], readings }
}

/// Returns a reading by which this many of 1,200 requests are denied, all of one client and from
/// the 30th minute on.
pub(super) fn tally(denied: u64) -> Tally {
    let mut whole = Timeline { width_nanos: MINUTE, admitted: vec![20; 60], denied: vec![0; 60] };
    let mut one = Timeline { width_nanos: MINUTE, admitted: vec![1; 60], denied: vec![0; 60] };
    let mut left = denied;
    for column in 30..60 {
        let denied = left.min(20);
        left -= denied;
        whole.admitted[column] -= denied;
        whole.denied[column] = denied;
        one.denied[column] = denied;
    }
    let top = Top {
        key: "203.0.113.9".into(),
        requests: 60 + denied,
        admitted: 60,
        denied,
        timeline: one,
    };
    Tally {
        spread: None,
        admitted: 1_200 - denied,
        denied,
        no_slot: 0,
        keys_denied: u64::from(denied > 0),
        denied_by: vec![denied],
        delayed: 0,
        longest_delay_nanos: 0,
        mean_delay_nanos: 0,
        peak_live_keys: 17,
        top: if denied > 0 { vec![top] } else { Vec::new() },
        timeline: whole,
    }
}

/// Returns two readings that differ: one denies no request, and one denies 54.
pub(super) fn two_readings() -> Vec<Tally> {
    vec![
        Tally { spread: Some(Spread::Even), ..tally(0) },
        Tally { spread: Some(Spread::None), ..tally(54) },
    ]
}

/// Returns a search for the smallest quotas: one is found by two readings, and one is not found.
pub(super) fn found() -> Found {
    Found {
        at_most: 0.001,
        of: "requests".into(),
        periods: vec![
            FoundPeriod {
                period: "s".into(),
                cells: Some(5),
                denied: vec![0, 1],
                keys_denied: vec![0, 1],
                curve: vec![(1, 0.5), (2, 0.03), (5, 0.000_9), (10, 0.0)],
            },
            FoundPeriod {
                period: "day".into(),
                cells: None,
                denied: Vec::new(),
                keys_denied: Vec::new(),
                curve: vec![(100, 0.9), (200, 0.2)],
            },
        ],
    }
}

/// A key that attacks pages, spreadsheets and terminals.
pub(super) const HOSTILE: &str = "=cmd|'/c calc'!A1</td><script>document.title=\"owned\"</script>\
     <img src=x onerror=alert(1)>\"'&\u{1b}[2J\u{9b}\u{202e}\u{0}\r\n";
