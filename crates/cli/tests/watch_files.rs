//! `plimsoll watch`: what it writes, and what it is told beforehand.

mod record_kit;
mod watch_kit;

use std::fs;

use plimsoll_verdict::ReadLimits;
use plimsoll_verdict::judge::{self, Known, Options, recorded, several};
use record_kit::*;
use watch_kit::*;

/// Proves D4.
#[test]
fn the_series_judged_again_gives_the_same_verdict_and_the_page_is_written() {
    let (folder, _) = watched("series");
    let flags =
        ["--duration", "12s", "--series", "series.gz", "--report", "report.html", "--lifetimes", "l.json"];
    let (first, _) = verdict_on(&folder, &flags, "leak");
    let bytes = fs::read(folder.join("series.gz")).expect("it was written");
    let past = recorded::read(&bytes, &ReadLimits::default()).expect("our own");
    let judged = past
        .iter()
        .map(|it| {
            let verdict = judge::judge(&it.series, it.names.as_ref(), &Known::default(), &Options::default());
            (it.owner.clone(), verdict)
        })
        .collect();
    let again = several(judged).expect("there was a process");
    let mut text = Vec::new();
    judge::write(&again, &mut text).expect("into memory");
    let mut again: serde_json::Value = serde_json::from_slice(&text).expect("our own");
    // These are told beside.
    for beside in ["target", "snapshots"] {
        again[beside] = first[beside].clone();
    }
    assert_eq!(first, again);
    assert_eq!(blamed(&first).len(), 1, "{first:#}");
    let page = fs::read_to_string(folder.join("report.html")).expect("it was written");
    assert!(page.contains("keep_one") && page.contains("It leaks"), "{page}");
    let lifetimes = fs::read_to_string(folder.join("l.json")).expect("it was written");
    assert!(lifetimes.contains("plimsoll.lifetimes/1"), "{lifetimes}");
    // Cut or changed it is refused, and nothing panics.
    for length in (0..bytes.len()).step_by(97) {
        recorded::read(&bytes[..length], &ReadLimits::default()).expect_err("it was cut");
    }
}

#[test]
fn what_is_suppressed_is_not_blamed() {
    let (folder, _) = watched("known");
    let known = "[hub]\npolicy = \"evict\"\n[[verdict.suppressions]]\nfunction = \"keep_one\"\n\
                 reason = \"issue 1\"\nexpires = \"2999-01-01\"\n";
    fs::write(folder.join("plimsoll.toml"), known).expect("the folder is ours");
    let (verdict, _) = verdict_on(&folder, &["--duration", "12s"], "leak");
    assert_eq!(verdict["verdict"], "clean", "{verdict:#}");
    let excused = verdict["sites"].to_string();
    assert!(excused.contains("suppressed: issue 1"), "{verdict:#}");
}

#[test]
fn what_is_wrong_is_said_before_anything_runs() {
    let folder = folder("watch-wrong");
    fs::write(folder.join("known.toml"), "[[verdict.bounds]]\nfunction = \"a\"\nbyte_max = \"1MiB\"\n")
        .expect("the folder is ours");
    fs::write(folder.join("l.json"), "{}").expect("the folder is ours");
    for (flags, expected, named) in [
        (["--known", "known.toml"], 64, "known.toml:3: unknown key `byte_max`"),
        (["--known", "absent.toml"], 64, "absent.toml"),
        (["--lifetimes", "l.json"], 2, "l.json"),
        (["--series", "absent/s.gz"], 2, "absent"),
        (["--report", "."], 2, "directory"),
        (["--duration", "10"], 64, "90s"),
        (["--duration", "0s"], 64, "no time"),
    ] {
        let (code, said) = refused(&mut watch(&folder, &[&flags[..], &["--", "touch", "ran"]].concat()));
        assert!(code == expected && said.contains(named), "{flags:?}: {code}: {said}");
    }
    assert!(!folder.join("ran").exists());
}
