//! What is written of which process, and when: the raw tables while processes run and when they end, so that nothing
//! hangs on our living to the end.
//!
//! Names come last, because finding them takes longer than all else: see [`super::finish`].

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use plimsoll_core::Bytes;

use super::file::Output;
use crate::keeper::images::{Held, Images};

/// How long one second's writing may take. The program's own tables are written in any case, the others by turns.
const WRITE_TIME_MAX: Duration = Duration::from_millis(100);

/// The files of a recording while it runs.
pub(crate) struct Kept {
    pub(crate) output: Output,
    /// The last image of the program itself.
    main: Option<u64>,
    /// The file of each image that has one; at most as many as [`Output::another`] gives.
    files: HashMap<u64, PathBuf>,
    /// Where the turn of writing is.
    turn: u64,
    /// Written raw and let go of, to have their names found later by `report`; at most as many as there are files.
    pub(crate) raw: Vec<Entry>,
    /// Processes that sampled something and had no file left.
    pub(crate) without_file: u64,
    /// Writing failed so often, and this is what was said first.
    pub(crate) failed: Option<(u64, io::Error)>,
}

/// What the summary says of a process.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) pid: i32,
    pub(crate) program: String,
    pub(crate) samples: u64,
    /// What lived at the end.
    pub(crate) live: Bytes,
    /// What lived at the moment of the profile, if that is the peak and not the end.
    pub(crate) peak: Option<Bytes>,
    pub(crate) file: PathBuf,
    /// The file has the tables and not yet the names.
    pub(crate) is_raw: bool,
    /// What the profiler in the process has to say of itself.
    pub(crate) note: String,
}

impl Entry {
    pub(crate) fn of(held: &Held, file: PathBuf, is_raw: bool) -> Entry {
        let (samples, live) = (held.image.samples(), held.image.live());
        let (program, note) = (held.process.program.clone(), held.image.note());
        Entry { pid: held.pid, program, samples, live, peak: None, file, is_raw, note }
    }
}

impl Kept {
    pub(crate) fn new(output: Output) -> Kept {
        Kept {
            output,
            main: None,
            files: HashMap::new(),
            turn: 0,
            raw: Vec::new(),
            without_file: 0,
            failed: None,
        }
    }

    /// The last image of the program itself.
    pub(crate) fn main(&self) -> Option<u64> {
        self.main
    }

    /// The program registered, for the first time or after it ran another one.
    pub(crate) fn set_main(&mut self, key: u64, images: &mut Images) {
        self.main = Some(key);
        if let Some(held) = images.get_mut(key) {
            self.write(key, held);
        }
    }

    /// The file of an image; it gets one if there is one left.
    fn file(&mut self, key: u64, pid: i32) -> Option<PathBuf> {
        if self.main == Some(key) {
            return (!self.output.is_stream()).then(|| self.output.path().to_owned());
        }
        if let Some(file) = self.files.get(&key) {
            return Some(file.clone());
        }
        let file = self.output.another(pid)?;
        self.files.insert(key, file.clone());
        Some(file)
    }

    /// Writes the tables of an image as they are, and says in which file they, or older ones, are now.
    pub(crate) fn write(&mut self, key: u64, held: &mut Held) -> Option<PathBuf> {
        let state = held.state();
        let file = self.file(key, held.pid)?;
        match self.output.replace(&file, |out| held.image.save(out)) {
            Ok(()) => held.written = Some(state),
            Err(error) => self.fail(error),
        }
        held.written.is_some().then_some(file)
    }

    pub(crate) fn fail(&mut self, error: io::Error) {
        match &mut self.failed {
            Some((count, _)) => *count += 1,
            None => self.failed = Some((1, error)),
        }
    }

    /// Writes what has changed: the program's tables, then the others by turns as far as the time goes.
    pub(crate) fn write_changed(&mut self, images: &mut Images) {
        let started = Instant::now();
        let mut keys = images.keys();
        let turn = keys.partition_point(|&key| key < self.turn);
        keys.rotate_left(turn);
        let main = self.main;
        for key in main.into_iter().chain(keys.into_iter().filter(|&key| Some(key) != main)) {
            let is_main = main == Some(key);
            if !is_main && started.elapsed() > WRITE_TIME_MAX {
                self.turn = key;
                return;
            }
            let Some(held) = images.get_mut(key) else { continue };
            if held.written != Some(held.state()) && (is_main || held.image.samples() > 0) {
                self.write(key, held);
            }
        }
    }

    /// A process has ended, or runs another program: its tables are written, and held for their names to be found.
    pub(crate) fn ended(&mut self, key: u64, images: &mut Images) {
        let is_main = self.main == Some(key);
        let Some(held) = images.get_mut(key).filter(|held| !held.ended) else { return };
        held.set_ended();
        if is_main {
            return;
        }
        if held.image.samples() == 0 {
            images.remove(key);
            images.without_samples += 1;
            return;
        }
        // In any case: what it freed since it was last written is no new sample.
        if self.write(key, held).is_none() {
            self.without_file += u64::from(!self.output.is_stream());
            images.remove(key);
            return;
        }
        while let Some(heavy) = images.over_weight(self.main) {
            if let (Some(held), Some(file)) = (images.remove(heavy), self.files.remove(&heavy)) {
                self.raw.push(Entry::of(&held, file, true));
            }
        }
    }
}
