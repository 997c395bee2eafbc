//! A verdict to write, for the tests of those that write one.

use std::time::Duration;

use plimsoll_core::Bytes;

use super::verdict::{
    Evidence, Gate, Kind, Outcome, Owner, ProcessVerdict, Rate, Scope, SiteVerdict, StackFrame, State,
    Target, ThresholdRule, Verdict,
};

/// One line of a program.
pub(crate) fn site(function: &str, state: State) -> SiteVerdict {
    SiteVerdict {
        function: function.to_owned(),
        file: Some("src/cache.c".to_owned()),
        line: Some(42),
        scope: Scope::Line,
        state,
        is_open: false,
        live: Bytes::mib(3),
        growth: Rate { bytes_per_s: 1000.0, low: 900.0, high: 1100.0 },
        evidence: Evidence {
            kind: Some(Kind::Objects),
            window: Duration::from_secs(90),
            samples: 412,
            old: Duration::from_secs(45),
            old_objects: 412,
            gates: vec![Gate { name: "never freed", passed: true, found: "0 old ones died".to_owned() }],
            ..Evidence::default()
        },
        limit_in: None,
        stack: vec![StackFrame { function: "put".to_owned(), file: None, line: None }],
        owner: Some(Owner { pid: Some(7), program: "server".to_owned() }),
        label: None,
        excused: None,
        history: Vec::new(),
    }
}

/// A verdict with these sites.
pub(crate) fn verdict(outcome: Outcome, sites: Vec<SiteVerdict>) -> Verdict {
    Verdict {
        outcome,
        confidence: 0.99,
        observed: Duration::from_secs(100),
        readings: 120,
        interval: Bytes::new(400),
        has_heap: true,
        process: ProcessVerdict {
            state: State::Steady,
            resident_first: Bytes::mib(4),
            resident_last: Bytes::mib(8),
            growth: Rate::default(),
            heap_live: Bytes::mib(3),
            parts: Vec::new(),
            gates: Vec::new(),
            history: Vec::new(),
        },
        sites,
        gaps: vec!["2 samples\nwere lost".to_owned()],
        threshold: ThresholdRule { threshold: Bytes::mib(10), has_data: true, over: Vec::new() },
        processes: Vec::new(),
        target: Some(Target { name: "./server".to_owned(), pid: Some(7), exit_code: Some(3) }),
        rows: Vec::new(),
        own: None,
    }
}
