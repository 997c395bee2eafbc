//! A process that runs already, and is left alone.

use std::time::Instant;

use nix::sys::signal::Signal;
use plimsoll_verdict::judge::{Owner, SeriesLimits, Target};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::answer::Seen;
use super::plan::Plan;
use super::subject::{Subject, word};
use crate::exit::Failure;
use crate::keeper::ask;
use crate::session::signals::Signals;

/// Watches what the user named.
pub(crate) fn watch(target: &str, plan: &Plan) -> Result<Seen, Failure> {
    match target.parse::<i32>() {
        Ok(pid) if pid > 0 => process(pid, plan),
        _ => Err(Failure::usage(format!(
            "`{target}` is neither the number of a process nor an address with http://"
        ))),
    }
}

fn process(pid: i32, plan: &Plan) -> Result<Seen, Failure> {
    let owner = ask::owner(pid)?;
    let gone = || Failure::could_not(format!("there is no process {pid}: `ps` lists those that there are"));
    let end =
        Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()).ok_or_else(gone)?;
    let image = ask::find(pid, &owner)?;
    let signals = Signals::block()?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let program =
        image.as_ref().map_or_else(|| name.trim().to_owned(), |image| word(&image.process().program));
    let mut subject = Subject::new(Owner { pid: Some(pid), program }, SeriesLimits::WATCH);
    let began = Instant::now();
    let end_at = began + plan.duration;
    let mut read_at = began;
    let mut has_ended = false;
    loop {
        let now = Instant::now();
        if read_at <= now || end_at <= now {
            match &image {
                Some(image) => subject.read_tables(image, &image.process(), pid),
                None => drop(subject.read_resident(pid)),
            }
            let after = Instant::now();
            read_at = (read_at + plan.read_interval()).max(after + (after - now));
        }
        if end_at <= now {
            break;
        }
        let due = end_at.min(read_at).saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(&end, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        let _ = poll(&mut fds, Timespec::try_from(due).ok().as_ref());
        has_ended = !fds[0].revents().is_empty();
        let is_stopped = std::iter::from_fn(|| signals.next())
            .any(|arrived| arrived.is_end() && arrived.signal != Signal::SIGCHLD);
        if has_ended || is_stopped {
            break;
        }
    }
    let gaps = if has_ended { vec![format!("process {pid} ended while it was watched")] } else { Vec::new() };
    let target = Target { name: pid.to_string(), pid: Some(pid), exit_code: None };
    Ok(Seen { subjects: vec![subject], target, gaps })
}
