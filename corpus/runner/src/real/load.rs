//! What is put on a program: rounds, each bounded, one after the other.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::client::{self, Request};
use crate::process::Running;

/// No round takes longer.
const ROUND_MAX: Duration = Duration::from_secs(120);

/// Says when the load is to end.
#[derive(Debug, Default)]
pub(super) struct Stop(AtomicBool);

impl Stop {
    pub(super) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_now(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// One round of it is to be done again and again.
#[derive(Clone, Debug)]
pub(super) enum Load {
    /// A program that ends by itself.
    Command(Vec<String>),
    /// These requests, in their order, on as few connections as the server makes it.
    Requests { port: u16, requests: Vec<Request> },
    /// Reads so many bytes of a stream that has no end.
    Reader { port: u16, path: &'static str, bytes: usize },
}

impl Load {
    /// A program and its arguments, which hold no spaces.
    pub(super) fn command(line: &str) -> Load {
        Load::Command(line.split_whitespace().map(str::to_owned).collect())
    }

    /// Does one round.
    pub(super) fn round(&self, stop: &Stop) -> Result<(), String> {
        match self {
            Load::Command(words) => command(words, stop),
            Load::Requests { port, requests } => client::send(*port, requests, &|| stop.is_now()),
            Load::Reader { port, path, bytes } => client::read(*port, path, *bytes, &|| stop.is_now()),
        }
    }
}

fn command(words: &[String], stop: &Stop) -> Result<(), String> {
    let (program, arguments) = words.split_first().ok_or("no program was given")?;
    let mut command = Command::new(PathBuf::from(program));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match Running::start(&mut command)?.wait(ROUND_MAX, &|| stop.is_now())? {
        Some(0) => Ok(()),
        code => Err(format!("`{}` ended with {code:?}", words.join(" "))),
    }
}
