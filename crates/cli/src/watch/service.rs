//! A service that hands out its own heap: one GET for each reading.
//!
//! One of ours has ages in its profile and is judged as a process is. A plain pprof (Go's, jemalloc's) has amounts and no
//! ages, and its stacks have no numbers that stay: it is judged by how much lives, as another one is by its resident
//! memory.

use std::time::Instant;

use plimsoll_core::heap::ProcessMemory;
use plimsoll_verdict::judge::{Owner, Reading, SeriesLimits, Target};
use plimsoll_verdict::{Profile, ReadLimits, read_with};

use super::answer::Seen;
use super::client::{Client, GetError};
use super::plan::Plan;
use super::progress::Progress;
use super::subject::{Subject, unix_ms};
use super::wait::{Woken, wait};
use crate::exit::Failure;
use crate::session::signals::Signals;

/// A service may be restarted while it is watched; so many of its lives have a series.
const LIVES_MAX: usize = 16;

/// Readings that failed.
#[derive(Default)]
struct Failed {
    count: u64,
    first: String,
}

/// Watches the service at `url`.
pub(crate) fn watch(url: &str, plan: &Plan, progress: &mut Progress) -> Result<Seen, Failure> {
    let client = Client::new(url)?;
    let signals = Signals::block()?;
    let first = client.get(&signals).map_err(|error| refused(url, &client, &error))?;
    let first = profile(&first)
        .map_err(|error| Failure::could_not(format!("what {url} hands out is no heap profile: {error}")))?;
    let has_ages = first.header().epoch_ms > 0;
    let mut gaps = Vec::new();
    if !has_ages {
        gaps.push(format!(
            "{url} hands out a plain pprof, which has no ages: it is judged by how much of its heap lives, as if that \
             were all of its resident memory; a verdict with lines needs a program that runs on plimsoll's allocator, \
             or under `plimsoll watch -- CMD`"
        ));
    }
    let how = if has_ages { "its heap profile" } else { "the size of its heap alone, which is weaker" };
    progress.say(&format!("watching {url} for {} by {how}", humantime::format_duration(plan.duration)));
    let owner = Owner { pid: None, program: url.to_owned() };
    let new = || Subject::new(owner.clone(), SeriesLimits::WATCH);
    let (mut subject, mut before) = (new(), Vec::new());
    let mut failed = Failed::default();
    let mut restarts = 0_u64;
    let began = Instant::now();
    let (end_at, mut read_at) = (began + plan.duration, began);
    let mut next = Some(Ok(first));
    loop {
        let now = Instant::now();
        let got = next.take().unwrap_or_else(|| match client.get(&signals) {
            Ok(bytes) => profile(&bytes).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        });
        match got {
            Ok(profile) if has_ages => {
                if subject.is_before(&profile) {
                    restarts += 1;
                    let mut ended = std::mem::replace(&mut subject, new());
                    ended.end_by_itself();
                    if before.len() < LIVES_MAX {
                        before.push(ended);
                    }
                }
                subject.read_profile(profile);
            }
            Ok(profile) => {
                let resident_bytes = profile.live().bytes;
                let memory = Some(ProcessMemory { resident_bytes, parts: Vec::new() });
                subject.read(Reading {
                    at: began.elapsed(),
                    unix_ms: unix_ms(),
                    memory,
                    ..Reading::default()
                });
            }
            Err(error) => {
                failed.count += 1;
                if failed.first.is_empty() {
                    failed.first = error;
                }
            }
        }
        progress.show(now, &[&subject]);
        if end_at <= now {
            break;
        }
        let after = Instant::now();
        read_at = (read_at + plan.get_interval()).max(after + (after - now));
        if wait(&signals, None, end_at.min(read_at)) == Woken::Stopped {
            break;
        }
    }
    signals.release();
    subject.end();
    if failed.count > 0 {
        gaps.push(format!("{} readings failed, the first because: {}", failed.count, failed.first));
    }
    if restarts > 0 {
        gaps.push(format!("the service was restarted {restarts} times while it was watched"));
    }
    let target = Target { name: url.to_owned(), pid: None, exit_code: None };
    let subjects = std::iter::once(subject).chain(before).collect();
    Ok(Seen { subjects, target, gaps })
}

fn profile(bytes: &[u8]) -> Result<Profile, plimsoll_verdict::ReadError> {
    read_with(bytes, &ReadLimits::default())
}

fn refused(url: &str, client: &Client, error: &GetError) -> Failure {
    Failure::could_not(match error {
        GetError::Status(status, _) if status.as_u16() == 404 => format!(
            "{url} has no {}: a service on plimsoll's allocator or with net/http/pprof has one; name another path in the \
             address",
            client.path()
        ),
        error => format!("{url} cannot be watched: {error}"),
    })
}
