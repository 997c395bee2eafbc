//! The end: what was sampled gets its names and becomes a profile.
//!
//! The program has ended and its caller waits for its code. The raw tables are written first; then a thread finds the
//! names, the program's first. Whoever has no time interrupts us, and the raw tables stand, which `plimsoll report`
//! reads as well. The other processes have [`NAMING_TIME_MAX`] in all: a build leaves hundreds.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use super::file::Output;
use super::kept::{Entry, Kept};
use crate::keeper::images::{Held, Images, Refused};
use crate::keeper::named::{self, Moment, Namer};
use crate::keeper::replace::{part_of, replace};
use crate::session::signals::Signals;

/// How long names are searched for other processes than the program.
const NAMING_TIME_MAX: Duration = Duration::from_secs(30);
/// Where the profile goes when there is no room for it in FILE, after the private directory.
const LAST_RESORT: &str = "/tmp";

/// What became of a recording.
pub(crate) struct Report {
    pub(crate) main: Main,
    /// The other processes that have a file.
    pub(crate) others: Vec<Entry>,
    /// How many of all went on when the program had ended.
    pub(crate) running: usize,
    /// How many took no sample.
    pub(crate) without_samples: u64,
    /// How many had no file left.
    pub(crate) without_file: u64,
    /// Why callers were refused, and how many.
    pub(crate) refused: Vec<(Refused, u64)>,
    /// How often a file could not be written, and why the first time.
    pub(crate) failed: Option<(u64, io::Error)>,
    /// Somebody had no time for names.
    pub(crate) is_interrupted: bool,
}

/// What became of the program's own profile.
pub(crate) enum Main {
    /// It never registered.
    None,
    /// It is in FILE, with names or without.
    Written(Entry),
    /// It is in another file, for this reason.
    Elsewhere(Entry, io::Error),
    /// It is nowhere.
    Lost(io::Error),
}

struct Job {
    held: Held,
    /// The file that has the raw tables; for the program FILE.
    file: PathBuf,
    is_main: bool,
}

enum Done {
    Main(Main),
    Other(Entry, Option<io::Error>),
}

/// Writes everything. `directory` is the private one.
/// `moment` is that of the program's profile; of other processes nobody knows how they ended.
pub(crate) fn finish(
    mut images: Images,
    mut kept: Kept,
    signals: &Signals,
    directory: &Path,
    moment: Moment,
) -> Report {
    let mut report = Report {
        main: Main::None,
        others: std::mem::take(&mut kept.raw),
        running: images.iter().filter(|&(key, held)| !held.ended && kept.main() != Some(key)).count(),
        without_samples: 0,
        without_file: 0,
        refused: images.refused().collect(),
        failed: None,
        is_interrupted: false,
    };
    let jobs = write_raw(&mut images, &mut kept);
    (report.without_samples, report.without_file) = (images.without_samples, kept.without_file);
    report.failed = kept.failed.take();

    // What is true if nobody finds a name.
    let mut raw: Vec<Entry> = Vec::new();
    for job in &jobs {
        let entry = Entry::of(&job.held, job.file.clone(), true);
        match (job.is_main, job.held.written) {
            (true, Some(_)) => report.main = Main::Written(entry),
            (true, None) => report.main = Main::Lost(io::ErrorKind::Interrupted.into()),
            (false, _) => raw.push(entry),
        }
    }
    let (dones, is_interrupted) = find_names(jobs, kept.output, directory.to_owned(), signals, moment);
    report.is_interrupted = is_interrupted;
    for done in dones {
        match done {
            Done::Main(main) => report.main = main,
            Done::Other(entry, error) => {
                raw.retain(|other| other.file != entry.file);
                report.others.push(entry);
                if let Some(error) = error {
                    report.failed.get_or_insert((0, error)).0 += 1;
                }
            }
        }
    }
    report.others.extend(raw);
    report.others.sort_by_key(|entry| std::cmp::Reverse(entry.samples));
    report
}

/// Writes the tables of all that sampled something, and returns what is to get its names: the program first, then
/// those with the most samples, for the time may not be enough for all.
fn write_raw(images: &mut Images, kept: &mut Kept) -> Vec<Job> {
    let mut jobs = Vec::new();
    for key in images.keys() {
        let Some(mut held) = images.remove(key) else { continue };
        let is_main = kept.main() == Some(key);
        if held.image.samples() == 0 && !is_main {
            images.without_samples += 1;
            continue;
        }
        match kept.write(key, &mut held) {
            Some(file) => jobs.push(Job { held, file, is_main }),
            None if is_main => jobs.push(Job { held, file: kept.output.path().to_owned(), is_main }),
            None => kept.without_file += u64::from(!kept.output.is_stream()),
        }
    }
    jobs.sort_by_key(|job| (!job.is_main, std::cmp::Reverse(job.held.image.samples())));
    jobs
}

/// Finds the names on a thread of its own, until all is done or somebody interrupts us.
fn find_names(
    jobs: Vec<Job>,
    output: Output,
    directory: PathBuf,
    signals: &Signals,
    moment: Moment,
) -> (Vec<Done>, bool) {
    // What asked the program to end came before it ended, and is no hurry.
    while signals.next().is_some() {}
    let (send, receive) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let part = part_of(output.path());
    let Ok((ours, theirs)) = UnixStream::pair() else { return (Vec::new(), false) };
    let work = {
        let stop = Arc::clone(&stop);
        move || {
            // Its end is heard at the other side, however this thread ends.
            let _theirs = theirs;
            work(jobs, &output, &directory, &stop, moment, &send);
        }
    };
    let Ok(worker) = thread::Builder::new().name("names".to_owned()).spawn(work) else {
        return (Vec::new(), false);
    };
    let mut is_interrupted = false;
    loop {
        let mut fds = [PollFd::new(&ours, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        if poll(&mut fds, None).is_err() {
            continue;
        }
        if !fds[0].revents().is_empty() {
            // It is at its end. If it panicked it said so, and the raw tables stand.
            let _ = worker.join();
            break;
        }
        if std::iter::from_fn(|| signals.next()).any(|arrived| arrived.is_end()) {
            stop.store(true, Ordering::Relaxed);
            is_interrupted = true;
            // The thread will not get to it: it ends with this process.
            let _ = std::fs::remove_file(part);
            break;
        }
    }
    (receive.try_iter().collect(), is_interrupted)
}

fn work(
    jobs: Vec<Job>,
    output: &Output,
    directory: &Path,
    stop: &AtomicBool,
    moment: Moment,
    send: &mpsc::Sender<Done>,
) {
    let mut namer = Namer::new();
    let mut started = None;
    for job in jobs {
        if !job.is_main {
            let started: Instant = *started.get_or_insert_with(Instant::now);
            if stop.load(Ordering::Relaxed) || started.elapsed() > NAMING_TIME_MAX {
                return;
            }
        }
        let done = if job.is_main {
            Done::Main(main(&job, output, directory, stop, moment, &mut namer))
        } else {
            let (profile, peak) = namer.last_profile(&job.held.image, &job.held.process, Moment::Peak);
            let error = output.finish_another(&job.file, &profile).err();
            let entry = Entry::of(&job.held, job.file.clone(), error.is_some());
            Done::Other(Entry { peak, ..entry }, error)
        };
        if send.send(done).is_err() {
            return;
        }
    }
}

/// Writes the program's profile to FILE, or where there is room for it.
fn main(
    job: &Job,
    output: &Output,
    directory: &Path,
    stop: &AtomicBool,
    moment: Moment,
    namer: &mut Namer,
) -> Main {
    let (profile, peak) = namer.last_profile(&job.held.image, &job.held.process, moment);
    let entry = |file: PathBuf| Entry { peak, ..Entry::of(&job.held, file, false) };
    let Err(error) = output.finish(&profile) else { return Main::Written(entry(job.file.clone())) };
    if stop.load(Ordering::Relaxed) {
        return Main::Lost(error);
    }
    let name = if output.is_stream() { None } else { job.file.file_name() };
    let name = name.map(PathBuf::from).unwrap_or_else(|| {
        PathBuf::from(format!(
            "plimsoll.{}.{}.json",
            named::file_word(&job.held.process.program),
            job.held.pid
        ))
    });
    for directory in [directory, Path::new(LAST_RESORT)] {
        let path = directory.join(&name);
        let write = |out: &mut dyn io::Write| named::write(&profile, named::is_gzip(&path), out);
        if replace(&path, &part_of(&path), write).is_ok() {
            return Main::Elsewhere(entry(path), error);
        }
    }
    Main::Lost(error)
}
