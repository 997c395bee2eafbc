//! `plimsoll diff` as it is shipped: what grew between two profiles, and the code that scripts go by.

mod report_kit;

use plimsoll_verdict::pprof;
use report_kit::heap::{MIB, service, service_later};
use report_kit::{Ran, Workshop};
use serde_json::{Value as Json, json};

/// A workshop with the service in `a` and the later one in `b`.
fn workshop(name: &str) -> Workshop {
    let workshop = Workshop::new(name);
    workshop.profile("a", &service());
    workshop.profile("b", &service_later());
    workshop
}

fn diff(workshop: &Workshop, rest: &[&str]) -> Ran {
    workshop.run(&[&["diff", "a", "b"][..], rest].concat())
}

/// Proves D1. (Two snapshots compared: what grew, by how much in bytes and objects, with function, file and line; of
/// two builds, in which the lines have moved.)
#[test]
fn what_grew_is_named_with_its_line_size_and_count() {
    let workshop = workshop("diff-table");
    let table = diff(&workshop, &[]).fine();
    let squeezed: Vec<String> =
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(squeezed[0], "live bytes 49MiB -> 69MiB, +20MiB (+40.8 %) in 3600.0 s, by own lines");
    let row = "+20MiB 7.3MiB +0 8MiB 28MiB +250.0 % app::log::Log<[u8; 4]>::append src/log.rs:20";
    assert_eq!(squeezed[3], row, "{table}");
    assert_eq!(squeezed.len(), 4, "nothing else grew: {table}");
}

/// Proves D1. (The same as data, of the N that grew most.)
#[test]
fn the_same_is_data_for_scripts() {
    let workshop = workshop("diff-json");
    let found: Json = serde_json::from_str(&diff(&workshop, &["--json", "--top", "1"]).fine()).expect("JSON");
    assert_eq!((&found["schema"], &found["level"]), (&json!("plimsoll.heap_diff/1"), &json!("own")));
    let entry = &found["entries"][0];
    assert_eq!((&entry["function"], &entry["line"]), (&json!("app::log::Log<[u8; 4]>::append"), &json!(20)));
    assert_eq!((&entry["file"], &entry["state"]), (&json!("src/log.rs"), &json!("grown")));
    assert_eq!((&entry["live_bytes_change"], &entry["live_objects_change"]), (&json!(20 * MIB), &json!(0)));
    assert_eq!(found["entries"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_threshold_is_the_code_to_end_with() {
    let workshop = workshop("diff-threshold");
    for (threshold, code) in [("10MiB", 1), ("20MiB", 0), ("20479KiB", 1), ("1GiB", 0)] {
        let ran = diff(&workshop, &["--threshold", threshold]);
        assert_eq!(ran.code, Some(code), "{threshold}: {ran:?}");
        assert!(ran.stdout.contains("app::log::Log"), "the table is printed all the same");
    }
    let ran = diff(&workshop, &["--threshold", "10MiB", "--json"]);
    assert_eq!(ran.stderr, "plimsoll: one entry grew by more than 10MiB of live bytes\n");
    assert!(serde_json::from_str::<Json>(&ran.stdout).is_ok(), "{ran:?}");
    // Without one, growth is no fault.
    diff(&workshop, &[]).fine();
    let help = workshop.run(&["diff", "--help"]).fine();
    assert!(help.contains("End with code 1 if an entry's live bytes grew by more than this"), "{help}");
}

#[test]
fn levels_are_whole_stacks_own_lines_and_leaves() {
    let workshop = workshop("diff-level");
    let stacks = diff(&workshop, &["--level", "stack"]).fine();
    assert!(stacks.contains(", by stacks\n") && stacks.contains("__rust_alloc\n"), "{stacks}");
    let leaves = diff(&workshop, &["--level", "leaf", "--metric", "allocated-bytes"]).fine();
    assert!(leaves.starts_with("allocated bytes 67MiB -> 87MiB"), "{leaves}");
    assert!(leaves.contains(", by leaf functions\n"), "{leaves}");
}

#[test]
fn formats_may_be_mixed_and_one_may_be_standard_input() {
    let workshop = workshop("diff-kinds");
    let mut packed = Vec::new();
    pprof::write(&service_later(), &mut packed).expect("memory takes what is written");
    let table = workshop.run_with(&["diff", "a", "-", "--threshold", "10MiB"], &packed);
    assert_eq!(table.code, Some(1));
    assert!(table.stdout.contains("+20MiB"), "{table:?}");
    let said = workshop.run(&["diff", "-", "-"]).refused(64);
    assert_eq!(said, "standard input holds one profile; give a file for the other");
}

#[test]
fn a_browser_opens_the_page() {
    let workshop = workshop("diff-browser");
    diff(&workshop, &["--level", "stack", "--html", "d.html"]).fine();
    let script = "const open = document.querySelector('.open'); open.click();\
                  document.querySelector('th:last-child button').click();\
                  document.body.append(document.getElementById(open.getAttribute('aria-controls')).offsetHeight > 50 \
                  ? 'IT IS OPEN' : 'it is closed')";
    let dom = workshop.browse("d.html", script);
    assert!(dom.contains("IT IS OPEN"), "{dom}");
    assert!(dom.contains("+20MiB") && dom.contains("app::log::Log&lt;[u8; 4]&gt;::append"), "{dom}");
    assert_eq!(dom.matches("aria-sort=\"").count(), 1, "{dom}");
}

#[test]
fn what_is_wrong_is_said_of_the_file_that_is() {
    let workshop = workshop("diff-bad");
    workshop.write("empty", "");
    let bad = |a: &str, b: &str| workshop.run(&["diff", a, b]).refused(2);
    assert!(bad("a", "empty").starts_with("empty is no heap profile: the file is empty"));
    assert!(bad("empty", "b").starts_with("empty is no heap profile: the file is empty"));
    assert_eq!(bad("a", "none"), "cannot read none: there is no such file");
    assert_eq!(bad("tmp", "b"), "cannot read tmp: it is a folder; give a profile in it");
    assert_eq!(
        diff(&workshop, &["--html", "/dev/full"]).refused(2),
        "cannot write /dev/full: the disk is full"
    );
    for wrong in [
        &["diff", "a"][..],
        &["diff", "a", "b", "--level", "line"],
        &["diff", "a", "b", "--threshold", "10 bananas"],
        &["diff", "a", "b", "--metric", "x"],
    ] {
        workshop.run(wrong).refused(64);
    }
}
