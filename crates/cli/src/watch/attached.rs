//! A process that runs already, and is left alone.

use std::os::fd::AsFd;
use std::time::Instant;

use plimsoll_heap::image::{Image, Process};
use plimsoll_verdict::judge::{Owner, SeriesLimits, Target};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::answer::Seen;
use super::plan::Plan;
use super::progress::Progress;
use super::subject::{Subject, word};
use super::wait::{Woken, wait};
use crate::exit::Failure;
use crate::keeper::ask;
use crate::session::signals::Signals;

/// It may run one program after the other; so many of them have a series.
const PROGRAMS_MAX: usize = 16;

/// Watches the process `pid`: by the tables that a recorder has of it, or by its resident memory.
pub(crate) fn watch(pid: i32, plan: &Plan, progress: &mut Progress) -> Result<Seen, Failure> {
    let owner = ask::owner(pid)?;
    let end = match Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        Some(Ok(end)) => end,
        _ => {
            return Err(Failure::could_not(format!(
                "process {pid} has ended: `ps` lists those that there are"
            )));
        }
    };
    let mut tables = tables(pid, &owner)?;
    let signals = Signals::block()?;
    let mut ended: Vec<Subject> = Vec::new();
    let mut subject = subject(pid, tables.as_ref());
    let how = if tables.is_some() {
        "the profiler in it"
    } else {
        "resident memory alone, which is weaker: nobody profiles it"
    };
    progress.say(&format!(
        "watching process {pid} ({}) for {} by {how}",
        subject.owner.program,
        humantime::format_duration(plan.duration)
    ));
    if tables.is_none() && subject.read_resident(pid).is_err() {
        return Err(Failure::could_not(format!("process {pid} has ended, or may not be looked at")));
    }
    let began = Instant::now();
    let (end_at, mut read_at, mut ask_at) = (began + plan.duration, began, began + plan.interval);
    let mut woken = Woken::Due;
    while woken == Woken::Due {
        let now = Instant::now();
        if now >= ask_at && tables.is_some() {
            ask_at = now + plan.interval;
            // It may run another program by now, whose tables are others.
            if let Ok(Some(now)) = self::tables(pid, &owner)
                && tables.as_ref().is_none_or(|(_, before)| *before != now.1)
            {
                tables = Some(now);
                let mut before = std::mem::replace(&mut subject, self::subject(pid, tables.as_ref()));
                before.end_by_itself();
                if ended.len() < PROGRAMS_MAX {
                    ended.push(before);
                }
            }
        }
        match &tables {
            Some((image, process)) => subject.read_tables(image, process, pid),
            // If it has just ended we are woken.
            None => drop(subject.read_resident(pid)),
        }
        progress.show(now, &[&subject]);
        if end_at <= now {
            break;
        }
        let after = Instant::now();
        let passed = plan.duration.saturating_sub(end_at.saturating_duration_since(after));
        read_at = (read_at + plan.read_interval(passed)).max(after + (after - now));
        woken = wait(&signals, Some(end.as_fd()), end_at.min(read_at));
    }
    signals.release();
    let mut gaps = Vec::new();
    if woken == Woken::Ended {
        subject.end_by_itself();
        gaps.push(format!("process {pid} ended while it was watched; what was seen before is judged"));
    }
    subject.end();
    let target = Target { name: pid.to_string(), pid: Some(pid), exit_code: None };
    let subjects = std::iter::once(subject).chain(ended).collect();
    Ok(Seen { subjects, target, gaps })
}

fn tables(pid: i32, owner: &ask::Owner) -> Result<Option<(Image, Process)>, Failure> {
    Ok(ask::find(pid, owner)?.map(|image| {
        let process = image.process();
        (image, process)
    }))
}

fn subject(pid: i32, tables: Option<&(Image, Process)>) -> Subject {
    let program = match tables {
        Some((_, process)) => word(&process.program),
        None => std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned(),
    };
    Subject::new(Owner { pid: Some(pid), program }, SeriesLimits::WATCH)
}
