//! What the tests of `plimsoll watch` share: a C program that leaks in several ways, and its verdict as JSON.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value as Json;

use crate::record_kit::{self, build, code, folder, plimsoll, run, text};

/// The program; see the file.
const SOURCE: &str = include_str!("../programs/watched.c");

/// An empty folder for a test, with the program in it.
pub(crate) fn watched(test: &str) -> (PathBuf, PathBuf) {
    watched_with(test, &["-g", "-O1"])
}

pub(crate) fn watched_with(test: &str, flags: &[&str]) -> (PathBuf, PathBuf) {
    let folder = folder(&format!("watch-{test}"));
    let program = build(&folder, "watched", SOURCE, flags);
    (folder, program)
}

/// `plimsoll watch` with these arguments.
pub(crate) fn watch(folder: &Path, arguments: &[&str]) -> Command {
    plimsoll(folder, &[&["watch"], arguments].concat())
}

/// The verdict on the program as it runs with `how`, with the code and what was said.
#[track_caller]
pub(crate) fn verdict_on(folder: &Path, flags: &[&str], how: &str) -> (Json, Output) {
    verdict(&mut watch(folder, &[&["--json"], flags, &["--", "./watched", how]].concat()))
}

/// The verdict of a whole command line, which has `--json`.
#[track_caller]
pub(crate) fn verdict(command: &mut Command) -> (Json, Output) {
    let output = run(command);
    let said = text(&output.stderr);
    assert!(matches!(code(&output), 0 | 1 | 3), "{}: {said}", code(&output));
    let verdict = json(&output);
    let code = match verdict["verdict"].as_str() {
        Some("clean") => 0,
        Some("leak") => 1,
        _ => 3,
    };
    assert_eq!(record_kit::code(&output), code, "the code says what the document says: {verdict:#}");
    (verdict, output)
}

/// Standard output, which is one document and nothing else.
#[track_caller]
pub(crate) fn json(output: &Output) -> Json {
    let out = text(&output.stdout);
    let json: Json =
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}\n{}", text(&output.stderr)));
    assert_eq!(json["schema"], "plimsoll.watch/1");
    json
}

/// The blamed sites, as `function:line`.
pub(crate) fn blamed(verdict: &Json) -> Vec<String> {
    let sites = verdict["sites"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_blamed = |site: &&Json| matches!(site["state"].as_str(), Some("suspect" | "confirmed"));
    let name = |site: &Json| format!("{}:{}", site["function"].as_str().unwrap_or_default(), site["line"]);
    sites.iter().filter(is_blamed).map(name).collect()
}

/// The gaps as one text.
pub(crate) fn gaps(verdict: &Json) -> String {
    verdict["gaps"].to_string()
}

/// The line of the leak in the source.
pub(crate) fn leaking_line() -> usize {
    1 + SOURCE.lines().position(|line| line.contains("malloc(100)")).expect("it is there")
}

/// Starts the program by itself, silent.
pub(crate) fn alone(folder: &Path, how: &str) -> Ended {
    let child = Command::new(folder.join("watched")).arg(how).stdout(Stdio::null()).spawn();
    Ended(child.expect("it was just built"))
}

/// A child that is ended with the test.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended; and it is waited for, so that its number is its own until then.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
