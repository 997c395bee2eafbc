//! Frame by frame the same as libgcc's unwinder, from the places that allocations come from.
//!
//! These are built without frame pointers: with the chain of them nearly every stack here would end early.

use std::cell::Cell;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};
use std::time::Duration;

use super::{ROOM, Registers, Tally, Walked, refreshed, stack_from, walk};

/// Calls `f` below `depth` frames of different sizes.
#[inline(never)]
fn below(depth: usize, f: &dyn Fn()) {
    let filled = black_box([depth; 7]);
    match depth {
        0 => f(),
        _ if depth.is_multiple_of(3) => {
            let large = black_box([depth; 300]);
            below(depth - 1, f);
            black_box(&large);
        }
        _ => [1].iter().for_each(|_| below(depth - 1, f)),
    }
    black_box(&filled);
}

#[test]
fn nested_and_recursive() {
    refreshed();
    let tally = Tally::default();
    for depth in 0..100 {
        below(depth, &|| tally.look());
        below(depth, &|| {
            let boxed: Box<dyn Fn(usize) -> usize> = Box::new(|value| {
                tally.look();
                value + 1
            });
            black_box((0..3).map(&*boxed).sum::<usize>());
        });
    }
    tally.assert_all(400);
}

/// A value that looks at the stack whenever something is done with it.
struct Watched<'a>(usize, &'a Tally);

impl PartialEq for Watched<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.1.look();
        self.0 == other.0
    }
}
impl Eq for Watched<'_> {}
impl PartialOrd for Watched<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Watched<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.1.look();
        self.0.cmp(&other.0)
    }
}
impl std::hash::Hash for Watched<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.1.look();
        self.0.hash(state);
    }
}
impl Clone for Watched<'_> {
    fn clone(&self) -> Self {
        self.1.look();
        Self(self.0, self.1)
    }
}
impl std::fmt::Display for Watched<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.1.look();
        write!(f, "{:>8}|{:?}", self.0, self.0 as f64)
    }
}
impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.1.look();
    }
}

#[test]
fn from_inside_the_standard_library() {
    refreshed();
    let tally = Tally::default();
    let watched = || (0..60).map(|value| Watched(value * 7919 % 61, &tally));
    let mut vector: Vec<_> = watched().collect();
    vector.sort();
    vector.sort_unstable_by(|left, right| right.cmp(left));
    vector.resize(80, Watched(5, &tally));
    vector.dedup();
    vector.retain(|value| value.0 != 5);
    black_box(watched().map(|value| (value, 1)).collect::<HashMap<_, _>>());
    black_box(watched().collect::<HashSet<_>>());
    black_box(watched().map(|value| (value, 1)).collect::<BTreeMap<_, _>>());
    black_box(watched().collect::<BinaryHeap<_>>().into_sorted_vec());
    black_box(vector.iter().map(|value| format!("<{value:>20}>")).collect::<String>());
    black_box(vector.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    drop(vector);
    tally.assert_all(1000);
}

#[test]
fn on_other_threads() {
    refreshed();
    let tally = Tally::default();
    std::thread::scope(|scope| {
        for depth in 0..8 {
            let tally = &tally;
            scope.spawn(move || (0..50).for_each(|more| below(depth + more, &|| tally.look())));
        }
    });
    thread_local!(static AT_EXIT: Cell<Option<Watched<'static>>> = const { Cell::new(None) });
    static LATE: std::sync::LazyLock<Tally> = std::sync::LazyLock::new(Tally::default);
    let ended = std::thread::spawn(|| AT_EXIT.set(Some(Watched(1, &LATE)))).join();
    assert!(ended.is_ok());
    tally.assert_all(400);
    LATE.assert_all(1);
}

#[test]
fn from_cleanup_while_unwinding() {
    refreshed();
    let tally = Tally::default();
    for depth in 0..20 {
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let _watched = Watched(1, &tally);
            below(depth, &|| {
                let _watched = Watched(2, &tally);
                resume_unwind(Box::new(3));
            });
        }));
        assert!(ended.is_err());
    }
    tally.assert_all(40);
}

thread_local!(static OF_THIS_THREAD: AtomicPtr<Tally> = const { AtomicPtr::new(std::ptr::null_mut()) });

/// Looks, for callbacks that cannot be given anything.
pub(super) fn look_from_c() {
    // SAFETY: the tests that call this put a tally there that outlives the call.
    if let Some(tally) = OF_THIS_THREAD.with(|tally| unsafe { tally.load(SeqCst).as_ref() }) {
        tally.look();
    }
}

pub(super) fn with_tally(f: impl FnOnce(&Tally)) {
    let tally = Tally::default();
    OF_THIS_THREAD.with(|place| place.store((&raw const tally).cast_mut(), SeqCst));
    f(&tally);
    OF_THIS_THREAD.with(|place| place.store(std::ptr::null_mut(), SeqCst));
}

#[test]
fn through_the_c_library() {
    extern "C" fn compare(left: *const c_void, right: *const c_void) -> c_int {
        look_from_c();
        // SAFETY: `qsort` hands over two elements of the array.
        let (left, right) = unsafe { (*left.cast::<u32>(), *right.cast::<u32>()) };
        left.cmp(&right) as c_int
    }
    refreshed();
    with_tally(|tally| {
        let mut numbers: Vec<u32> = (0..100).map(|value| value * 7919 % 101).collect();
        // SAFETY: the array has a hundred elements of four bytes.
        unsafe { libc::qsort(numbers.as_mut_ptr().cast(), numbers.len(), 4, Some(compare)) };
        assert!(numbers.is_sorted());
        tally.assert_all(300);
    });
}

extern "C" fn on_signal(_: c_int) {
    look_from_c();
}

/// Has `signal` handled by a look on the stack that it interrupts.
fn handle(signal: c_int) {
    // SAFETY: plain data; the handler touches nothing that it may not.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
    }
}

#[test]
fn from_a_signal_handler() {
    refreshed();
    handle(libc::SIGUSR1);
    with_tally(|tally| {
        for depth in 0..50 {
            // SAFETY: the signal is handled.
            below(depth, &|| assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0));
        }
        tally.assert_all(50);
    });
}

/// Interrupted at any instruction, prologues and epilogues included.
#[test]
fn from_a_signal_handler_anywhere() {
    refreshed();
    handle(libc::SIGUSR2);
    // SAFETY: no memory is involved.
    let thread = unsafe { libc::pthread_self() };
    let done = AtomicBool::new(false);
    with_tally(|tally| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Signals that come while one is pending are one.
                while tally.looked.load(SeqCst) < 300 {
                    std::thread::sleep(Duration::from_micros(200));
                    // SAFETY: the thread waits for this one, and the signal is handled.
                    unsafe { libc::pthread_kill(thread, libc::SIGUSR2) };
                }
                done.store(true, SeqCst);
            });
            let mut round = 0_u64;
            while !done.load(SeqCst) {
                round += 1;
                let mut words: Vec<String> = (0..50).map(|n| format!("{:x}", n * round * 7919)).collect();
                words.sort();
                below(20, &|| {
                    black_box(words.iter().map(|word| (word.len(), word)).collect::<BTreeMap<_, _>>());
                });
            }
        });
        // Let off are the few instructions at which a function hangs on a register that is not followed.
        tally.assert_nearly_all(300);
    });
}

#[repr(align(64))]
struct Aligned([u8; 64]);

#[inline(never)]
fn aligned(depth: usize, tally: &Tally) {
    let value = black_box(Aligned([depth as u8; 64]));
    tally.look();
    if depth > 0 {
        aligned(depth - 1, tally);
    }
    black_box(value.0);
}

// What gcc makes of a function with a variable that is aligned to more than the stack.
std::arch::global_asm!(
    ".text",
    ".globl plimsoll_aligned_as_by_gcc",
    ".type plimsoll_aligned_as_by_gcc, @function",
    "plimsoll_aligned_as_by_gcc:",
    ".cfi_startproc",
    "lea r10, [rsp + 8]",
    ".cfi_def_cfa 10, 0",
    "and rsp, -64",
    "push qword ptr [r10 - 8]",
    "push rbp",
    ".cfi_escape 0x10, 6, 2, 0x76, 0",
    "mov rbp, rsp",
    "push r10",
    ".cfi_escape 0x0f, 3, 0x76, 0x78, 6",
    "sub rsp, 40",
    "call rdi",
    "add rsp, 40",
    "pop r10",
    ".cfi_def_cfa 10, 0",
    "pop rbp",
    "lea rsp, [r10 - 8]",
    ".cfi_def_cfa 7, 8",
    "ret",
    ".cfi_endproc",
    ".size plimsoll_aligned_as_by_gcc, . - plimsoll_aligned_as_by_gcc",
);

unsafe extern "C" {
    fn plimsoll_aligned_as_by_gcc(callback: extern "C" fn());
}

#[test]
fn through_functions_that_align_their_stack() {
    extern "C" fn callback() {
        look_from_c();
    }
    refreshed();
    with_tally(|tally| {
        aligned(20, tally);
        for depth in 0..20 {
            // SAFETY: it calls the callback and returns.
            below(depth, &|| unsafe { plimsoll_aligned_as_by_gcc(callback) });
        }
        tally.assert_all(41);
    });
}

#[test]
fn in_a_forked_child() {
    refreshed();
    let is_read = AtomicBool::new(false);
    // SAFETY: the child walks, which takes no lock, and ends without running anything of the parent's.
    let child = unsafe { libc::fork() };
    if child == 0 {
        below(10, &|| {
            let registers = Registers::here();
            // SAFETY: it is the stack that this runs on.
            let walked = unsafe { walk(registers, stack_from(registers.sp), &mut [0; ROOM]) };
            is_read.store(walked.complete && walked.depth > 10, SeqCst);
        });
        // SAFETY: as above.
        unsafe { libc::_exit(c_int::from(!is_read.load(SeqCst))) };
    }
    let mut status = -1;
    // SAFETY: the status is written to.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
}

#[test]
fn cut_short() {
    refreshed();
    below(30, &|| {
        let registers = Registers::here();
        let stack = stack_from(registers.sp);
        let read = |end: usize, room: usize| {
            let mut out = [0; ROOM];
            // SAFETY: it is the stack that this runs on, or the lower part of it.
            let walked = unsafe { walk(registers, registers.sp..end, &mut out[..room]) };
            (walked, out)
        };
        let (whole, all) = read(stack.end, ROOM);
        assert!(whole.complete && whole.depth > 30);
        for room in 0..=whole.depth {
            let (walked, some) = read(stack.end, room);
            assert_eq!(walked, Walked { depth: room, complete: room == whole.depth });
            assert_eq!(some[..room], all[..room]);
        }
        let mut last = 0;
        for end in (registers.sp..stack.end).step_by(24).take(2000) {
            let (walked, some) = read(end, ROOM);
            assert!(walked.depth >= last && walked.depth <= whole.depth);
            assert_eq!(some[..walked.depth], all[..walked.depth]);
            last = walked.depth;
        }
    });
}
