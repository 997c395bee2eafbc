//! What `plimsoll serve` says of its own heap: it judges itself while it works, and cries wolf at nobody.

mod support;

use support::http::Request;
use support::load::Bytes;
use support::say;
use support::server::Server;
use support::wait::within;

use std::time::Duration;

const LEAKS: &str = "/api/v1/leaks";
/// The verdict needs five seconds of readings; this is for a machine that has no time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Proves D1: the service is judged by the statistical verdict, with the threshold rule beside it, and under work
/// that holds no memory it is not blamed.
#[test]
fn a_service_at_work_judges_itself_and_finds_no_leak() {
    let server = Server::start(&[
        "--heap-sampling",
        "every",
        "--verdict-interval",
        "100ms",
        "--verdict-warm-up",
        "0s",
        "--verdict-threshold",
        "1GiB",
    ]);
    let mut seed = 0;
    let verdict = within(PATIENCE, "a verdict on five seconds of work", || {
        seed += 1;
        let body = Bytes::new(seed).take(256 << 10);
        assert_eq!(server.ask(&Request::new("PUT", "/ingest/t").body(body)).status, 200);
        let response = server.get(LEAKS);
        if response.status == 503 {
            response.problem(503, "not-sampled", &["too early"]);
            return Err("no verdict yet".to_owned());
        }
        assert_eq!(response.status, 200, "{response:?}");
        let verdict: serde_json::Value = serde_json::from_str(response.text()).expect("JSON");
        let observed_ms = verdict["observed_ms"].as_u64().expect("a number");
        if observed_ms > 6_000 { Ok(verdict) } else { Err(format!("observed for {observed_ms} ms")) }
    });
    say(&format!("{} after {} ms", verdict["verdict"], verdict["observed_ms"]));
    assert_eq!(verdict["schema"], "plimsoll.watch/1");
    assert_eq!(verdict["heap_profiled"], true);
    let blamed: Vec<_> = verdict["sites"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|site| site["state"] == "suspect" || site["state"] == "confirmed")
        .collect();
    assert!(blamed.is_empty(), "{blamed:#?}");
    assert_ne!(verdict["verdict"], "leak");
    assert_eq!(verdict["threshold"]["state"], "ok");
    assert_eq!(verdict["threshold"]["threshold_bytes"], 1 << 30);
}

#[test]
fn a_service_that_is_not_sampled_says_so() {
    let server = Server::start(&["--heap-sampling", "off"]);
    server.get(LEAKS).problem(503, "not-sampled", &["--heap-sampling"]);
}

#[test]
fn what_the_settings_file_says_of_leaks_is_checked_at_the_start() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("leaks-known.toml");
    std::fs::write(&file, "[[verdict.bounds]]\nfunction = \"Cache::put\"\nbytes_maxx = \"1MiB\"\n")
        .expect("the test's own folder can be written to");
    let mut command = std::process::Command::new(support::server::program());
    command.args(["serve", "--addr", "127.0.0.1:0", "--config"]).arg(&file);
    let ended = command.output().expect("started");
    assert_eq!(ended.status.code(), Some(64));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("bytes_maxx") && said.contains("leaks-known.toml:3"), "{said}");
}
