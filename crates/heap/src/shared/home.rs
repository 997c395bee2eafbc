//! The tables that another process sees, and how a forked child comes by its own.
//!
//! Shared memory stays shared over a fork: what the child counted there would be counted in its parent. A child that
//! only calls `exec` never counts anything, so nothing is done at the fork. But one page is marked so that the kernel
//! clears it in every child, however that was made; a child that is about to count finds the mark gone, and first moves
//! to tables of its own: a copy of its parent's, in which what lives is counted anew, from the records that it
//! inherited. So its numbers are exact however long its parent went on meanwhile.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::{SystemTime, UNIX_EPOCH};

use super::header::{Header, MAGIC, Part, VERSION};
use super::memory::{self, SharedMemory};
use super::named::{self, Name, Named, Numbers};
use super::peak::Peak;
use crate::capture::{self, Stack};
use crate::cells::{Cells, Zeroed};
use crate::cost::Cost;
use crate::engine::Engine;
use crate::os::{self, OutOfAddressSpace, PAGE_BYTES};
use crate::sampler;
use crate::stacks::DEPTH_MAX;
use crate::sync::{Acquire, Relaxed, Release};
use crate::unwind::{ModuleRecord, ModuleRecords};

/// Puts the functions of an interpreter into a stack: takes the addresses of code, leaf first, and writes those with the
/// functions among them. Called inside `malloc`.
pub type Interpreter = fn(&[u64], &mut [u64; DEPTH_MAX]) -> WithNames;
/// What an [`Interpreter`] wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WithNames {
    /// How many addresses; none leaves the stack as it is.
    pub depth: usize,
    /// There was no room for all.
    pub truncated: bool,
}

/// Hands the file that shared memory is to whoever records. Called at the start, and in forked children from inside
/// `malloc`: it must not allocate.
pub type HandOver = fn(&OwnedFd) -> io::Result<()>;

/// How many executable segments of modules are told to others.
const MODULES_MAX: usize = 2047;

/// The mark: who has it counts in tables of its own.
const AT_HOME: u32 = 1;
/// Somebody is moving.
const MOVING: u32 = 2;

/// See the head of this file.
pub(crate) struct Shared {
    memory: SharedMemory,
    header: Cells<Header>,
    named: Named,
    numbers: Numbers,
    modules: ModuleRecords,
    pub(crate) peak: Peak,
    /// In the page that is cleared in a child.
    mark: &'static AtomicU32,
    hand_over: HandOver,
    interpreter: AtomicPtr<()>,
}

impl Shared {
    /// How much memory the tables take, for so many stacks.
    pub(crate) fn bytes(stacks_max: usize) -> usize {
        let tables = [
            // As they are, and as they were at the peak.
            2 * size_of::<crate::stacks::StackCell>() * (stacks_max + 1),
            size_of::<AtomicU32>() * stacks_max * 64,
            size_of::<named::Record>() * named::PLACES,
            size_of::<AtomicU32>() * named::TEXT_WORDS,
            size_of::<ModuleRecord>() * (MODULES_MAX + 1),
        ];
        // One page for each that is small, and what the others are rounded up to.
        tables.iter().sum::<usize>() + 16 * PAGE_BYTES
    }

    /// Reserves what is in shared memory besides the engine's own tables. The header must be the first table there.
    pub(crate) fn reserve(
        memory: SharedMemory,
        header: Cells<Header>,
        stacks_max: usize,
        hand_over: HandOver,
    ) -> Result<Self, OutOfAddressSpace> {
        Ok(Self {
            named: Named::reserve(Some(&memory))?,
            numbers: Numbers::reserve()?,
            modules: ModuleRecords::over(Cells::reserve_in(Some(&memory), MODULES_MAX + 1)?),
            peak: Peak { cells: Cells::reserve_in(Some(&memory), stacks_max + 1)? },
            mark: mark()?,
            memory,
            header,
            hand_over,
            interpreter: AtomicPtr::new(std::ptr::null_mut()),
        })
    }

    /// Says in the header what is where, and whose it is.
    pub(crate) fn describe(&self, engine: &Engine, program: &[u8], command: &[u8]) {
        let header = &self.header[0];
        let start = self.memory.addresses().start;
        let part = |part: &Part, addresses: Range<usize>, entry: usize| {
            part.at.store((addresses.start - start) as u64, Relaxed);
            part.length.store((addresses.len() / entry) as u64, Relaxed);
        };
        let blocks = engine.block_addresses();
        header.blocks.at.store(blocks.start as u64, Relaxed);
        header.blocks.length.store(blocks.len() as u64, Relaxed);
        part(&header.counts, engine.counts_addresses(), size_of::<super::header::Counts>());
        part(&header.used, engine.stacks.used.addresses(), size_of::<crate::stacks::Used>());
        part(&header.cells, engine.stacks.cells.addresses(), size_of::<crate::stacks::StackCell>());
        part(&header.kept, self.peak.cells.addresses(), size_of::<crate::stacks::StackCell>());
        part(&header.packed, engine.stacks.packed.addresses(), size_of::<AtomicU32>());
        part(&header.modules, self.modules.addresses(), size_of::<ModuleRecord>());
        part(&header.named, self.named.records.addresses(), size_of::<named::Record>());
        part(&header.named_text, self.named.text.addresses(), size_of::<AtomicU32>());
        part(&header.named_used, self.named.used.addresses(), size_of::<named::Used>());
        header.version.store(VERSION, Relaxed);
        header.bytes.store(self.memory.bytes() as u64, Relaxed);
        header.started_unix_ms.store(unix_ms(), Relaxed);
        header.started_ns.store(engine.started_ns(), Relaxed);
        header.epoch_ns.store(engine.epoch_ns(), Relaxed);
        header.range_bytes.store(engine.range.bytes() as u64, Relaxed);
        header.range_wanted_bytes.store(engine.range.wanted_bytes() as u64, Relaxed);
        header.set_program(program);
        header.set_command(command);
        self.sign(0);
        self.mark.store(AT_HOME, SeqCst);
        header.magic.store(MAGIC, Release);
    }

    /// The modules that others see.
    pub(crate) fn modules(&self) -> &ModuleRecords {
        &self.modules
    }

    /// Whose heap it is.
    fn sign(&self, is_fork: u64) {
        let header = &self.header[0];
        // SAFETY: two calls that only answer.
        let (pid, parent_pid) = unsafe { (libc::getpid(), libc::getppid()) };
        header.pid.store(u64::from(pid.unsigned_abs()), Relaxed);
        header.parent_pid.store(u64::from(parent_pid.unsigned_abs()), Relaxed);
        header.is_fork.store(is_fork, Relaxed);
    }

    /// Before a sample is counted: its stack, and what the profiler does, as others see it.
    pub(crate) fn tell(&self, engine: &Engine, stack: &mut Stack) {
        let counts = engine.counts();
        counts.samples.fetch_add(1, Relaxed);
        self.tell_status(engine);
        let interpreter = self.interpreter.load(Acquire);
        if !interpreter.is_null() {
            // SAFETY: only `set_interpreter` writes it, and only a function of this type.
            let interpreter = unsafe { std::mem::transmute::<*mut (), Interpreter>(interpreter) };
            let mut with_names = [0; DEPTH_MAX];
            let written = interpreter(stack.addresses(), &mut with_names);
            if written.depth > 0 {
                stack.replace(&with_names[..written.depth.min(DEPTH_MAX)]);
                stack.truncated |= written.truncated;
            }
        }
    }

    /// How the profiler does, as others see it.
    pub(crate) fn tell_status(&self, engine: &Engine) {
        let counts = engine.counts();
        counts.interval.store(sampler::interval().unwrap_or(0.0).to_bits(), Relaxed);
        counts.adaptive.store(u64::from(engine.cost.is_adaptive()), Relaxed);
        counts.cost_ppm.store(u64::from(Cost::ppm(&engine.cost)), Relaxed);
        counts.method.store(capture::method() as u64, Relaxed);
    }

    /// Has the recorder told something about this process's profile.
    pub(crate) fn set_note(&self, note: &str) {
        self.header[0].set_note(note.as_bytes());
    }

    pub(crate) fn set_interpreter(&self, interpreter: Interpreter) {
        self.interpreter.store(interpreter as *mut (), Release);
    }

    /// The address by which a named place stands in stacks: see [`Numbers::address`].
    pub(crate) fn address_of<'a>(
        &self,
        engine: &Engine,
        identity: u64,
        describe: impl FnOnce() -> Option<Name<'a>>,
    ) -> Option<u64> {
        let address = self.numbers.address(&self.named, identity, describe);
        if address.is_none() {
            engine.counts().named_left_off.fetch_add(1, Relaxed);
        }
        address
    }

    /// To be called before anything is counted. A word that is always in the cache.
    #[inline(always)]
    pub(crate) fn go_home(&self, engine: &Engine) {
        if self.mark.load(Acquire) != AT_HOME {
            self.move_home(engine);
        }
    }

    #[cold]
    fn move_home(&self, engine: &Engine) {
        let errno = os::Errno::now();
        // A handler that came in between and allocated would wait for what it interrupted.
        let signals = os::SignalsBlocked::all();
        match self.mark.compare_exchange(0, MOVING, SeqCst, SeqCst) {
            Ok(_) => {
                let file = self.copy(engine);
                self.sign(1);
                self.recount(engine);
                self.mark.store(AT_HOME, SeqCst);
                if let Ok(file) = file {
                    // Who recorded may be gone: then nobody looks.
                    let _ = (self.hand_over)(&file);
                }
            }
            // Another thread of the child came first, and is at it.
            Err(_) => {
                while self.mark.load(SeqCst) == MOVING {
                    std::thread::yield_now();
                }
            }
        }
        drop(signals);
        drop(errno);
    }

    /// Puts a copy in the place of the parent's tables; visible to others if the kernel has a file for it.
    fn copy(&self, engine: &Engine) -> io::Result<OwnedFd> {
        let file = memory::file(self.memory.bytes());
        let copied = file.and_then(|file| {
            let (copy, file) = SharedMemory::over(self.memory.bytes(), file)?;
            self.copy_used(engine, copy.start());
            // SAFETY: mapped just above, and in nobody's hands.
            unsafe { os::unmap(copy.start().as_ptr(), copy.bytes()) };
            self.memory.replace_by(&file)?;
            Ok(file)
        });
        if copied.is_err() && !self.copy_unseen(engine) {
            // What lives goes on being counted in the parent's tables; nothing is added to it.
            sampler::stop();
        }
        copied
    }

    /// Puts a copy in the place of the parent's tables that nobody else can see. False if there is no memory.
    fn copy_unseen(&self, engine: &Engine) -> bool {
        let Ok(private) = os::map_zeroed(self.memory.bytes()) else { return false };
        self.copy_used(engine, private);
        // SAFETY: a mapping of ours takes the place of another of the same length.
        unsafe { os::move_mapping(private, self.memory.start(), self.memory.bytes()) }
    }

    /// Copies what is in use of each table. The parent may be writing meanwhile: what lives is counted anew afterwards,
    /// and the rest are sums that only grow.
    fn copy_used(&self, engine: &Engine, to: NonNull<u8>) {
        let start = self.memory.addresses().start;
        self.each_used_part(engine, |part| {
            for address in part.step_by(size_of::<u64>()) {
                let offset = address - start;
                // SAFETY: words of the two mappings, which are of one length; both consist of atomics.
                unsafe {
                    let from = self.memory.start().byte_add(offset).cast::<AtomicU64>();
                    let to = to.byte_add(offset).cast::<AtomicU64>();
                    to.as_ref().store(from.as_ref().load(Relaxed), Relaxed);
                }
            }
        });
    }

    /// Calls `see` with what is in use of each table, in whole words.
    fn each_used_part(&self, engine: &Engine, mut see: impl FnMut(Range<usize>)) {
        fn first<T: Zeroed>(cells: &Cells<T>, entries: usize) -> Range<usize> {
            let all = cells.addresses();
            let bytes = (entries * size_of::<T>()).next_multiple_of(size_of::<u64>());
            all.start..all.start + bytes.min(all.len())
        }
        let (stacks, named) = (&engine.stacks, &self.named);
        see(first(&self.header, 1));
        see(engine.counts_addresses());
        see(first(&stacks.used, 1));
        see(first(&stacks.cells, stacks.opened()));
        see(first(&stacks.packed, stacks.used[0].packed_words.load(Acquire) as usize));
        see(first(&named.used, 1));
        see(first(&named.records, named.used[0].records.load(Acquire) as usize));
        see(first(&named.text, named.used[0].words.load(Acquire) as usize));
        self.modules.used().for_each(see);
    }

    /// Counts what lives, from the child's own records.
    fn recount(&self, engine: &Engine) {
        let now = engine.look_at_clock();
        let opened = engine.stacks.opened();
        engine.stacks.cells[..opened].iter().for_each(|cell| cell.begin_recount(now));
        engine.counts().live_samples.store(0, Relaxed);
        let count = |_, sample: crate::sample::Sample| {
            engine.counts().live_samples.fetch_add(1, Relaxed);
            if let Some(cell) = engine.stacks.cells.get(sample.stack as usize) {
                cell.recount(&sample, now);
            }
        };
        engine.range.visit(count);
        if let Some(spans) = &engine.spans {
            spans.visit(count);
        }
        self.peak.begin_anew(engine);
    }
}

/// A page that is all zero in every child.
fn mark() -> Result<&'static AtomicU32, OutOfAddressSpace> {
    let page = os::map_zeroed(PAGE_BYTES)?;
    // SAFETY: a page of our own; advice that the kernel may refuse.
    let wiped = unsafe { libc::madvise(page.as_ptr().cast(), PAGE_BYTES, libc::MADV_WIPEONFORK) } == 0;
    if !wiped {
        return Err(OutOfAddressSpace {
            asked_bytes: PAGE_BYTES,
            source: io::Error::other("this kernel cannot clear a page in forked children (Linux 4.14 can)"),
        });
    }
    // SAFETY: zeroed memory that is never unmapped.
    Ok(unsafe { page.cast::<AtomicU32>().as_ref() })
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}
