//! All processes of a program that are watched: a series for each, within a limit.

use std::collections::BTreeMap;

use plimsoll_verdict::judge::{Owner, SeriesLimits};

use super::subject::{Subject, word};
use crate::keeper::images::{Held, Images};

/// How many processes have a series at a time.
pub(crate) const SUBJECTS_MAX: usize = 64;
/// The program's own series may have 32 MiB, those of the others 4 MiB each: 284 MiB for all in the worst case.
const OTHER: SeriesLimits = SeriesLimits { readings_max: 128, entries_max: 16 << 10 };

/// The processes.
pub(crate) struct Crowd {
    /// By the key of their tables. Entries go when there are more than [`SUBJECTS_MAX`].
    subjects: BTreeMap<u64, Subject>,
    /// The tables of the program that was started, as it runs now.
    main: Option<u64>,
    /// The program by its resident memory, until it has tables.
    bare: Option<Subject>,
    /// How many were let go because there were too many.
    pub(crate) left_out: u64,
}

impl Crowd {
    /// Begins with the program, of which nothing but its pid is known yet.
    pub(crate) fn new(program: &str, pid: i32) -> Crowd {
        let owner = Owner { pid: Some(pid), program: program.to_owned() };
        let bare = Subject::new(owner, SeriesLimits::WATCH);
        Crowd { subjects: BTreeMap::new(), main: None, bare: Some(bare), left_out: 0 }
    }

    /// Takes in a process that has handed over its tables.
    pub(crate) fn add(&mut self, key: u64, is_program: bool, held: &Held) {
        let owner = Owner { pid: Some(held.pid), program: word(&held.process.program) };
        if is_program {
            self.main = Some(key);
            self.bare = None;
        } else if self.subjects.len() >= SUBJECTS_MAX {
            self.let_one_go();
        }
        let limits = if is_program { SeriesLimits::WATCH } else { OTHER };
        self.subjects.insert(key, Subject::new(owner, limits));
    }

    /// The one with least to lose: of those that have ended, or else of all but the program, the one with the least live
    /// bytes.
    fn let_one_go(&mut self) {
        let main = self.main;
        let others = self.subjects.iter().filter(|&(&key, _)| Some(key) != main);
        let least = others.min_by_key(|(_, subject)| (!subject.has_ended, subject.live)).map(|(&key, _)| key);
        if let Some(key) = least {
            self.subjects.remove(&key);
            self.left_out += 1;
        }
    }

    /// Reads all that run.
    pub(crate) fn read(&mut self, images: &Images) {
        let keys: Vec<u64> = self.subjects.keys().copied().collect();
        for key in keys {
            self.read_one(key, images);
        }
        if let Some(bare) = self.bare.as_mut().filter(|bare| !bare.has_ended)
            && let Some(pid) = bare.owner.pid
        {
            // If it has just ended, that is heard of by another way.
            let _ = bare.read_resident(pid);
        }
    }

    /// Reads one, if it runs.
    pub(crate) fn read_one(&mut self, key: u64, images: &Images) {
        let subject = self.subjects.get_mut(&key).filter(|subject| !subject.has_ended);
        if let (Some(subject), Some(held)) = (subject, images.get(key)) {
            subject.read_tables(&held.image, &held.process, held.pid);
        }
    }

    /// The program was waited for: its number may be another's now.
    pub(crate) fn program_ended(&mut self) {
        if let Some(bare) = &mut self.bare {
            bare.end_by_itself();
        }
    }

    pub(crate) fn ended(&mut self, key: u64) {
        // One that is told to end was looked at before.
        if let Some(subject) = self.subjects.get_mut(&key).filter(|subject| !subject.has_ended) {
            subject.end_by_itself();
        }
    }

    /// Enough was seen of all.
    pub(crate) fn end(&mut self) {
        for subject in self.bare.iter_mut().chain(self.subjects.values_mut()) {
            subject.end();
        }
    }

    /// All of them, the program first.
    pub(crate) fn into_subjects(mut self) -> Vec<Subject> {
        self.end();
        let main = self.main.and_then(|main| self.subjects.remove(&main)).or(self.bare);
        main.into_iter().chain(self.subjects.into_values()).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Subject> {
        self.bare.iter().chain(self.subjects.values())
    }
}
