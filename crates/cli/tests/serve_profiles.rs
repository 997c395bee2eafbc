//! The heap of `plimsoll serve`, as its operator asks for it: a profile that tools read, a text, a picture. It is
//! asked for when memory is short already, so it must never be what ends the service, and never hang.

mod support;

use std::process::{Command, Stdio};

use plimsoll_verdict::{Metric, Profile, read};
use support::http::{Client, Request, Response};
use support::load::Bytes;
use support::server::{Server, program};
use support::wait::until;
use support::{make_room, say};

const PPROF: &str = "/debug/pprof/heap";
const FLAMES: &str = "/debug/flamegraph.svg";

/// 64 MiB and the fixed cost.
const RESIDENT_BYTES_MAX: u64 = (64 + 40) << 20;

/// Checks an answer that is a profile's, and of this moment.
fn fine<'a>(response: &'a Response, content_type: &str) -> &'a [u8] {
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.head.header("content-type"), Some(content_type), "{response:?}");
    assert_eq!(response.head.header("cache-control"), Some("no-store"), "{response:?}");
    &response.body
}

fn profile(server: &Server) -> Profile {
    let response = server.get(PPROF);
    let body = fine(&response, "application/octet-stream");
    assert_eq!(body[..2], [0x1f, 0x8b], "it is gzip");
    read(body).unwrap_or_else(|error| panic!("{error}"))
}

/// A MiB on its way through the service, with nobody reading.
fn ingest(server: &Server, seed: u64) {
    let body = Bytes::new(seed).take(1 << 20);
    assert_eq!(server.ask(&Request::new("PUT", "/ingest/t").body(body)).status, 200);
}

#[test]
fn a_profile_is_what_its_tools_expect() {
    let server = Server::start(&["--heap-sampling", "every"]);
    let response = server.get(PPROF);
    fine(&response, "application/octet-stream");
    let disposition = response.head.header("content-disposition");
    assert_eq!(disposition, Some("attachment; filename=\"heap.pb.gz\""), "{response:?}");
    let profile = profile(&server);
    assert_eq!(profile.header().metrics, Metric::ALL);
    assert!(profile.live().bytes > 0 && profile.allocated().bytes > profile.live().bytes);
    assert!(profile.header().interval.as_u64() <= 1, "{:?}", profile.header());

    let text = server.get(&format!("{PPROF}?debug=1"));
    fine(&text, "text/plain; charset=utf-8");
    for word in ["live ", "allocated ", "interval ", "resident ", "profiler "] {
        assert!(text.text().contains(word), "no {word:?} in {}", text.text());
    }
    for wrong in ["x", "-1", "256", ""] {
        server.get(&format!("{PPROF}?debug={wrong}")).problem(
            400,
            "invalid-request",
            &["debug", "0 for pprof", "1 for text"],
        );
    }
}

#[test]
fn the_picture_is_of_the_metric_that_was_asked_for() {
    let server = Server::start(&["--heap-sampling", "every"]);
    let live = server.get(FLAMES);
    fine(&live, "image/svg+xml");
    assert!(live.text().contains("live_bytes"), "the default");
    for metric in Metric::ALL {
        let picture = server.get(&format!("{FLAMES}?metric={}", metric.name()));
        fine(&picture, "image/svg+xml");
        let text = picture.text();
        assert!(text.contains("<svg ") && text.trim_end().ends_with("</svg>"), "{metric:?}");
        assert!(text.contains(metric.name()) && text.contains("plimsoll"), "{metric:?}");
    }
    let names = Metric::ALL.map(Metric::name);
    // Twice is not one of them either.
    for wrong in ["bytes", "", "%00", "live_bytes&metric=live_bytes"] {
        server.get(&format!("{FLAMES}?metric={wrong}")).problem(400, "invalid-request", &names);
    }
    let long = server.get(&format!("{FLAMES}?metric={}", "x".repeat(4000)));
    let detail = long.problem(400, "invalid-request", &names);
    assert!(detail.len() < 500, "what a client sent is not told back whole: {detail}");
}

#[test]
fn one_profile_at_a_time_and_the_next_is_told_to_come_again() {
    let server = Server::start(&["--heap-sampling", "every"]);
    for path in [PPROF, FLAMES] {
        // All are sent before the first is read.
        let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(server.addr())).collect();
        clients.iter_mut().for_each(|client| client.begin(&Request::new("GET", path)));
        let mut written = 0;
        for client in &mut clients {
            let response = client.response();
            if response.status == 200 {
                written += 1;
                continue;
            }
            response.problem(503, "profile-in-progress", &["come again"]);
            assert_eq!(response.head.header("retry-after"), Some("1"), "{response:?}");
        }
        assert!(written > 0, "{path}");
        say(&format!("of 8 at once for {path}, {written} were written"));
        assert_eq!(server.get(path).status, 200, "the turn was given back");
        // Also by one whose client goes away: it is written to its end.
        let mut gone = Client::connect(server.addr());
        gone.begin(&Request::new("GET", path));
        gone.reset();
        until("the turn", || match server.get(path).status {
            200 => Ok(()),
            status => Err(status.to_string()),
        });
    }
}

#[test]
fn a_service_that_is_not_sampled_says_so() {
    let server = Server::start(&["--heap-sampling", "off"]);
    for path in [PPROF, FLAMES, "/debug/pprof/heap?debug=1"] {
        server.get(path).problem(503, "not-sampled", &["--heap-sampling adaptive"]);
    }
}

/// Proves D1.
#[test]
fn a_profile_of_an_ingest_names_the_functions_of_the_service() {
    let server = Server::start(&["--heap-sampling", "every", "--memory-limit", "64MiB"]);
    ingest(&server, 7);
    let profile = profile(&server);
    let names = |wanted: &str| {
        let found = profile.functions().iter().find(|function| function.name.contains(wanted));
        found.unwrap_or_else(|| panic!("no `{wanted}` among {} functions", profile.functions().len()))
    };
    for wanted in ["plimsoll_gateway::ingest::", "plimsoll_bounds::"] {
        let function = names(wanted);
        let file = function.file.as_deref().unwrap_or_default();
        assert!(file.ends_with(".rs"), "{function:?}");
    }
    // Not only somewhere in a stack: it is named as the one that allocated.
    let frames = profile.frames();
    let own = |stack| frames.own(stack).is_some_and(|frame| frame.function.contains("plimsoll_gateway::"));
    assert!(profile.stacks().iter().any(own));
    assert!(server.get(FLAMES).text().contains("plimsoll_gateway::"));
}

/// Proves T1.
#[test]
fn a_foreign_page_gets_no_profile() {
    let server = Server::start(&[] as &[&str]);
    for path in [PPROF, FLAMES] {
        let ask = |name, value| server.ask(&Request::new("GET", path).header(name, value));
        ask("Host", "evil.example").problem(403, "foreign-host", &["evil.example"]);
        ask("Origin", "http://evil.example").problem(403, "foreign-origin", &["another origin"]);
        server.ask(&Request::new("POST", path)).problem(405, "method-not-allowed", &[]);
    }
}

/// Somebody looks because memory is short: looking must not be what ends the service.
#[test]
fn ten_profiles_stay_within_the_ceiling() {
    make_room(4096);
    for sampling in ["adaptive", "every"] {
        let server = Server::start(&["--memory-limit", "64MiB", "--heap-sampling", sampling]);
        (0..8).for_each(|seed| ingest(&server, seed));
        let before = server.resident();
        let mut first = 0;
        for nth in 0..10 {
            let response = server.get([PPROF, FLAMES][nth % 2]);
            // In a service that has allocated little, nothing may be sampled yet.
            assert!(response.status == 200 || sampling == "adaptive", "{response:?}");
            if nth == 1 {
                first = server.resident().now;
            }
        }
        let after = server.resident();
        say(&format!(
            "{sampling}: resident {} KiB before, {} KiB after two, {} KiB after ten, {} KiB at the most",
            before.now >> 10,
            first >> 10,
            after.now >> 10,
            after.peak >> 10
        ));
        assert!(after.peak <= RESIDENT_BYTES_MAX, "{sampling}: {after:?}");
        assert!(
            after.now.saturating_sub(first) < 8 << 20,
            "{sampling}: each one costs: {first} to {after:?}"
        );
    }
}

#[test]
fn the_settings_of_sampling_are_listed() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(program());
        let output = command.arg("config").args(arguments).env_clear().stdin(Stdio::null()).output();
        let output = output.expect("the program is built");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, listing) = run(&["--heap-sampling", "every"]);
    assert_eq!(code, Some(0));
    let row = |key: &str| {
        let row = listing.lines().find(|line| line.starts_with(&format!("{key} ")));
        row.unwrap_or_else(|| panic!("no {key} in {listing}")).to_owned()
    };
    let sampling = row("heap.sampling");
    assert!(sampling.contains("every") && sampling.contains("flag --heap-sampling"), "{sampling}");
    assert!(row("heap.interval").contains("512KiB") && row("heap.stacks_max").contains("16384"));
    let (_, page) = run(&["--markdown"]);
    assert!(page.contains("`heap.sampling`") && page.contains("PLIMSOLL_HEAP_SAMPLING"), "{page}");
}
