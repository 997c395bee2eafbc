//! The walk against libgcc, the rules against `gimli`, and both against garbage.
//!
//! A stack that is wrong looks like any other. So every test here compares with somebody else's reading of
//! the same stack or table, or feeds what no compiler would write.

mod against_gimli;
mod against_libgcc;
mod garbage;
mod list;
mod loaded;
mod unlisted;

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Registers, Walked, walk};

/// Return addresses of the deepest stack that the tests look at.
const ROOM: usize = 1024;

unsafe extern "C" {
    fn _Unwind_Backtrace(
        trace: extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        argument: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIPInfo(context: *mut c_void, is_exact: *mut c_int) -> usize;
}

/// What libgcc's own unwinder sees from here, without the frame of this function.
#[inline(never)]
fn libgcc(out: &mut [u64; ROOM]) -> usize {
    struct Trace<'a> {
        out: &'a mut [u64; ROOM],
        depth: usize,
    }
    extern "C" fn one(context: *mut c_void, trace: *mut c_void) -> c_int {
        let mut is_exact = 0;
        // SAFETY: the context is libgcc's; the trace is the one below.
        let (ip, trace) =
            unsafe { (_Unwind_GetIPInfo(context, &raw mut is_exact), &mut *trace.cast::<Trace<'_>>()) };
        if ip != 0
            && let Some(place) = trace.out.get_mut(trace.depth)
        {
            *place = ip as u64 + u64::from(is_exact != 0);
            trace.depth += 1;
        }
        0
    }
    let mut trace = Trace { out, depth: 0 };
    // SAFETY: the callback has the type that it casts back to.
    unsafe { _Unwind_Backtrace(one, (&raw mut trace).cast()) };
    let (out, depth) = (trace.out, trace.depth);
    out.copy_within(1..depth, 0);
    std::hint::black_box(depth - 1)
}

thread_local! {
    /// Where this thread's stack ends. Asked for once, because asking allocates, and a signal handler that
    /// allocates waits for the allocation that it interrupted.
    static STACK_END: Cell<usize> = const { Cell::new(0) };
}

/// The stack of this thread, from `sp` on.
fn stack_from(sp: usize) -> Range<usize> {
    if STACK_END.get() == 0 {
        STACK_END.set(stack_end());
    }
    sp..STACK_END.get()
}

fn stack_end() -> usize {
    // SAFETY: plain data, written by the calls; the attributes are given back.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        assert_eq!(libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes), 0);
        let (mut lowest, mut bytes) = (std::ptr::null_mut(), 0);
        libc::pthread_attr_getstack(&raw const attributes, &raw mut lowest, &raw mut bytes);
        libc::pthread_attr_destroy(&raw mut attributes);
        lowest.addr() + bytes
    }
}

/// How often two readings of a stack were the same.
#[derive(Debug, Default)]
struct Tally {
    looked: AtomicU64,
    exact: AtomicU64,
    complete: AtomicU64,
    frames: AtomicU64,
}

impl Tally {
    /// Reads the stack of the caller both ways.
    #[inline(never)]
    fn look(&self) {
        let registers = Registers::here();
        let stack = stack_from(registers.sp);
        let (mut ours, mut theirs) = ([0; ROOM], [0; ROOM]);
        // SAFETY: it is the stack that this runs on.
        let Walked { depth, complete } = unsafe { walk(registers, stack, &mut ours) };
        // Theirs begins with this function.
        let their_depth = libgcc(&mut theirs);
        let same = ours[..depth] == theirs[1..their_depth];
        self.looked.fetch_add(1, Relaxed);
        self.exact.fetch_add(u64::from(same), Relaxed);
        self.complete.fetch_add(u64::from(complete), Relaxed);
        self.frames.fetch_add(depth as u64, Relaxed);
    }

    /// All of at least `expected` looks were the same and complete.
    #[track_caller]
    fn assert_all(&self, expected: u64) {
        let looked = self.looked.load(Relaxed);
        assert!(looked >= expected, "{self:?}");
        assert_eq!(self.exact.load(Relaxed), looked, "{self:?}");
        assert_eq!(self.complete.load(Relaxed), looked, "{self:?}");
    }

    /// What [`Self::assert_all`] says, with one in a hundred let off.
    #[track_caller]
    fn assert_nearly_all(&self, expected: u64) {
        let looked = self.looked.load(Relaxed);
        assert!(looked >= expected, "{self:?}");
        assert!(self.exact.load(Relaxed) * 100 >= looked * 99, "{self:?}");
        assert!(self.complete.load(Relaxed) * 100 >= looked * 99, "{self:?}");
    }
}

/// Numbers that look random, the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// The list of modules is there; whoever comes second waits. So is the end of this thread's stack.
fn refreshed() {
    stack_from(0);
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        super::refresh();
    });
    while super::published::with_modules(|_| ()).is_none() {
        super::refresh();
    }
}
