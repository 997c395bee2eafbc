//! One process, or service, that is watched: what was read of it so far, and what its names are found from.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use plimsoll_core::Bytes;
use plimsoll_core::heap::HeapSnapshot;
use plimsoll_heap::image::{Image, Process};
use plimsoll_verdict::Profile;
use plimsoll_verdict::judge::{Owner, Reading, Series, SeriesLimits};

use super::memory;
use crate::keeper::named::Namer;
use crate::keeper::process::{ProcessError, memory_limit};

/// What a program frees before it ends takes at most so long; readings of that time wait for what comes after.
const HELD_TIME: Duration = Duration::from_secs(2);

/// One that is watched.
pub(crate) struct Subject {
    pub(crate) owner: Owner,
    pub(crate) series: Series,
    named_by: NamedBy,
    /// The latest readings, which are not in the series yet: see [`Subject::end_by_itself`]. They go there when they are
    /// older than [`HELD_TIME`].
    held: VecDeque<(Instant, Reading, Bytes)>,
    began: Instant,
    /// What was resident, and what lived on its heap, when it was last read.
    pub(crate) resident: Bytes,
    pub(crate) live: Bytes,
    /// How much memory it may have, once it was looked for.
    limit: Option<Option<Bytes>>,
    /// It is not read any more.
    pub(crate) has_ended: bool,
}

/// From what the names of its stacks are found.
enum NamedBy {
    Nothing,
    /// Its last tables.
    Tables(HeapSnapshot, Process),
    /// Its last profile, which has them.
    Profile(Profile),
}

impl Subject {
    pub(crate) fn new(owner: Owner, limits: SeriesLimits) -> Subject {
        Subject {
            owner,
            series: Series::new(limits),
            named_by: NamedBy::Nothing,
            held: VecDeque::new(),
            began: Instant::now(),
            resident: Bytes::new(0),
            live: Bytes::new(0),
            limit: None,
            has_ended: false,
        }
    }

    /// Reads the tables of a process, and what the kernel says of it.
    pub(crate) fn read_tables(&mut self, image: &Image, process: &Process, pid: i32) {
        let mut snapshot = image.snapshot();
        self.find_limit(pid);
        // Who has just ended has no memory, and its tables are there all the same.
        snapshot.memory = memory::of(pid, Some(image)).ok();
        self.note(Reading::of_snapshot(&snapshot), Bytes::new(snapshot.live().bytes));
        self.named_by = NamedBy::Tables(snapshot, process.clone());
    }

    /// Reads what the kernel says of a process that has no profiler.
    pub(crate) fn read_resident(&mut self, pid: i32) -> Result<(), ProcessError> {
        self.find_limit(pid);
        let reading = Reading {
            at: self.began.elapsed(),
            unix_ms: unix_ms(),
            memory: Some(memory::of(pid, None)?),
            ..Reading::default()
        };
        self.note(reading, Bytes::new(0));
        Ok(())
    }

    /// How much memory it may have, if its control group has a limit.
    pub(crate) fn limit(&self) -> Option<Bytes> {
        self.limit.flatten()
    }

    /// Groups are changed seldom, and a program that has ended has none.
    fn find_limit(&mut self, pid: i32) {
        self.limit.get_or_insert_with(|| memory_limit(pid));
    }

    /// Takes a profile that a service handed out.
    pub(crate) fn read_profile(&mut self, profile: Profile) {
        self.note(Reading::of_profile(&profile), Bytes::new(profile.live().bytes));
        self.named_by = NamedBy::Profile(profile);
    }

    /// Takes a reading that somebody else made.
    pub(crate) fn read(&mut self, reading: Reading) {
        self.note(reading, Bytes::new(0));
    }

    /// Whether a profile is of an earlier time than the last one: the service was started anew.
    pub(crate) fn is_before(&self, profile: &Profile) -> bool {
        match &self.named_by {
            NamedBy::Profile(last) => profile.header().since_start_ms < last.header().since_start_ms,
            NamedBy::Nothing | NamedBy::Tables(..) => false,
        }
    }

    fn note(&mut self, reading: Reading, live: Bytes) {
        self.live = live;
        if let Some(memory) = &reading.memory {
            self.resident = Bytes::new(memory.resident_bytes);
        }
        let now = Instant::now();
        self.held.push_back((now, reading, live));
        while let Some((_, reading, _)) =
            self.held.pop_front_if(|(at, ..)| now.saturating_duration_since(*at) > HELD_TIME)
        {
            // One that is not later than the last says nothing new.
            self.series.add(&reading);
        }
    }

    /// It ended by itself, and so may have taken down what it held, which would look like health: readings from that
    /// time are left out.
    pub(crate) fn end_by_itself(&mut self) {
        let largest = self.held.iter().map(|(.., live)| live.as_u64()).max().unwrap_or_default();
        let torn_down = |live: Bytes| live.as_u64() / 2 * 3 < largest;
        while self.held.pop_back_if(|(.., live)| torn_down(*live)).is_some() {}
        self.end();
    }

    /// It is not read any more.
    pub(crate) fn end(&mut self) {
        self.has_ended = true;
        for (_, reading, _) in self.held.drain(..) {
            self.series.add(&reading);
        }
    }

    /// Its last profile with the names that a verdict needs, which takes up to some seconds; nothing if it has none.
    pub(crate) fn named(&self, namer: &mut Namer) -> Option<Profile> {
        match &self.named_by {
            NamedBy::Nothing => None,
            NamedBy::Profile(profile) => Some(profile.clone()),
            NamedBy::Tables(snapshot, process) => {
                let active = self.series.active_stacks();
                let mut snapshot = snapshot.clone();
                // The stacks of churn are the most, and nobody asks for their names.
                snapshot.stacks.retain(|stack| active.binary_search(&stack.id).is_ok());
                Some(namer.profile(&snapshot, process))
            }
        }
    }
}

/// What a process is called: the last part of its program's path.
pub(crate) fn word(program: &str) -> String {
    Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
