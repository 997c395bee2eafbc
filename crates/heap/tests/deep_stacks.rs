//! Stacks as programs have them: frames of hundreds of KiB, thousands of calls, handlers and coroutines on stacks of their
//! own, threads with hardly any.
//!
//! A reader of stacks that believes what it reads ends the program at the first page that is not there; one that is too
//! careful ends every stack at the first large frame, which is what async state machines are.
#![cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu", not(miri)))]

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use plimsoll_core::Bytes;
use plimsoll_heap::{Heap, Interval, Profiler, Settings};

#[global_allocator]
static HEAP: Heap = Heap::system();

static TURN: Mutex<()> = Mutex::new(());

/// The most addresses that are kept of a stack.
const DEPTH_MAX: usize = 64;

fn every() -> (Profiler, MutexGuard<'static, ()>) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let settings = Settings { interval: Interval::Every, ..Settings::default() };
    let profiler = Profiler::running().unwrap_or_else(|| Profiler::start(settings).expect("installed"));
    (profiler, turn)
}

/// The stack of the one live sample of that size: its addresses, leaf first, and whether it was cut.
fn stack_of(profiler: Profiler, size: usize) -> (Vec<u64>, bool) {
    let samples = profiler.live_samples(usize::MAX);
    let mut ours = samples.iter().filter(|sample| sample.size == Bytes::new(size as u64));
    let sample = ours.next().expect("it is live");
    assert_eq!(ours.next(), None, "sizes are of one test each");
    let snapshot = profiler.snapshot();
    let stack = snapshot.stacks.iter().find(|stack| stack.id == sample.stack).expect("it has a stack");
    (snapshot.addresses_of(stack).to_vec(), stack.truncated)
}

fn common_end(one: &[u64], other: &[u64]) -> usize {
    one.iter().rev().zip(other.iter().rev()).take_while(|(one, other)| one == other).count()
}

#[inline(never)]
fn allocate(size: usize) -> Vec<u8> {
    black_box(Vec::with_capacity(size))
}

/// A frame of this many bytes. `black_box` of the array keeps it; the work behind it is not the last thing done.
#[inline(never)]
fn behind_a_frame<const BYTES: usize>(size: usize) -> Vec<u8> {
    let mut frame = [0_u8; BYTES];
    black_box(&mut frame);
    let block = allocate(size);
    black_box(&mut frame);
    block
}

#[test]
fn frames_of_300_kib_are_followed() {
    let (profiler, _turn) = every();
    let (small, large) = (10_001, 10_002);
    // One caller for both, two lines of it.
    let work = move || (behind_a_frame::<64>(small), behind_a_frame::<{ 300 << 10 }>(large));
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        let kept = black_box(work)();
        let stacks = (stack_of(profiler, small), stack_of(profiler, large));
        drop(kept);
        stacks
    });
    let (small, large) = thread.expect("started").join().expect("it did not panic");
    assert!(!small.1 && !large.1, "neither was cut");
    assert_eq!(small.0.len(), large.0.len());
    // All but the frames up to the call in `work`, of which there are two.
    let common = common_end(&small.0, &large.0);
    assert!(common >= 4 && common + 6 >= small.0.len(), "{common} of {} are the same", small.0.len());
}

#[inline(never)]
fn deep(calls: usize, size: usize) -> Vec<u8> {
    let block = if calls == 0 { allocate(size) } else { deep(calls - 1, size) };
    black_box(calls);
    block
}

#[test]
fn a_stack_of_many_calls_is_cut_and_says_so() {
    let (profiler, _turn) = every();
    let truncated = profiler.status().truncated;
    let (whole, cut) = (10_011, 10_012);
    let kept = (deep(10, whole), deep(200, cut));
    let (addresses, was_cut) = stack_of(profiler, whole);
    assert!(!was_cut && addresses.len() < DEPTH_MAX && addresses.len() > 12, "{addresses:x?}");
    let (addresses, was_cut) = stack_of(profiler, cut);
    assert!(was_cut && addresses.len() == DEPTH_MAX, "{addresses:x?}");
    // The frames next to the allocation are the ones that are kept: nearly all are the recursive call.
    let call = addresses[DEPTH_MAX - 1];
    assert!(addresses.iter().filter(|&&address| address == call).count() > DEPTH_MAX - 8);
    assert!(profiler.status().truncated > truncated);
    drop(kept);
}

/// A stack of its own between two pages that must not be touched.
struct ForeignStack {
    start: *mut u8,
}

impl ForeignStack {
    const BYTES: usize = 64 << 10;
    const PAGE: usize = 4096;

    fn new() -> Self {
        let bytes = Self::BYTES + 2 * Self::PAGE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, of which the middle is made writable.
        unsafe {
            let start = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0).cast::<u8>();
            assert_ne!(start.cast(), libc::MAP_FAILED);
            let middle = start.add(Self::PAGE);
            assert_eq!(libc::mprotect(middle.cast(), Self::BYTES, libc::PROT_READ | libc::PROT_WRITE), 0);
            Self { start: middle }
        }
    }
}

/// How many allocations the foreign code made.
static FOREIGN: AtomicUsize = AtomicUsize::new(0);

#[inline(never)]
fn allocate_a_little() {
    for size in [1, 100, 10_000, 100_000] {
        let mut block = allocate(size);
        block.push(1);
        block.reserve(size * 2);
        FOREIGN.fetch_add(1, Relaxed);
    }
    drop(deep(100, 10_021));
}

extern "C" fn handler(_: libc::c_int) {
    allocate_a_little();
}

#[test]
fn a_handler_on_a_stack_of_its_own_allocates() {
    let (profiler, _turn) = every();
    let samples = profiler.status().samples;
    let before = FOREIGN.load(Relaxed);
    let thread = std::thread::spawn(|| {
        let stack = ForeignStack::new();
        // SAFETY: the stack is as large as it says and outlives its use; the signal is raised here, not in the middle of
        // libc's allocator.
        unsafe {
            let own = libc::stack_t { ss_sp: stack.start.cast(), ss_flags: 0, ss_size: ForeignStack::BYTES };
            assert_eq!(libc::sigaltstack(&raw const own, std::ptr::null_mut()), 0);
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_ONSTACK;
            assert_eq!(libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()), 0);
            for _ in 0..10 {
                libc::raise(libc::SIGUSR2);
            }
            let none = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
            assert_eq!(libc::sigaltstack(&raw const none, std::ptr::null_mut()), 0);
        }
    });
    thread.join().expect("it did not panic");
    assert_eq!(FOREIGN.load(Relaxed) - before, 40);
    assert!(profiler.status().samples >= samples + 50, "they were sampled too");
}

/// The contexts of a coroutine and of who resumes it.
struct Contexts(UnsafeCell<[libc::ucontext_t; 2]>);

// SAFETY: one thread uses it.
unsafe impl Sync for Contexts {}

static CONTEXTS: Contexts = Contexts(UnsafeCell::new(
    // SAFETY: zeroed contexts are valid ones that `getcontext` fills.
    unsafe { std::mem::zeroed() },
));

extern "C" fn coroutine() {
    let [own, caller] =
        std::array::from_fn(|nth| CONTEXTS.0.get().cast::<libc::ucontext_t>().wrapping_add(nth));
    loop {
        allocate_a_little();
        // SAFETY: both contexts were filled, and this is the thread that uses them.
        unsafe { libc::swapcontext(own, caller) };
    }
}

#[test]
fn a_coroutine_allocates() {
    let (profiler, _turn) = every();
    let samples = profiler.status().samples;
    let before = FOREIGN.load(Relaxed);
    let stack = ForeignStack::new();
    let [own, caller] =
        std::array::from_fn(|nth| CONTEXTS.0.get().cast::<libc::ucontext_t>().wrapping_add(nth));
    // SAFETY: the stack outlives the coroutine, which is never resumed after this; one thread uses the contexts.
    unsafe {
        assert_eq!(libc::getcontext(own), 0);
        (*own).uc_stack.ss_sp = stack.start.cast();
        (*own).uc_stack.ss_size = ForeignStack::BYTES;
        (*own).uc_link = caller;
        libc::makecontext(own, coroutine, 0);
        for _ in 0..10 {
            assert_eq!(libc::swapcontext(caller, own), 0);
            // In between on the thread's own stack, which is still known.
            let kept = allocate(10_031);
            assert!(stack_of(profiler, 10_031).0.len() > 5);
            drop(kept);
        }
    }
    assert_eq!(FOREIGN.load(Relaxed) - before, 40);
    assert!(profiler.status().samples >= samples + 50, "they were sampled too");
}

#[test]
fn threads_with_the_smallest_stack_allocate() {
    let (profiler, _turn) = every();
    let samples = profiler.status().samples;
    extern "C" fn body(_: *mut libc::c_void) -> *mut libc::c_void {
        drop(allocate(100));
        drop(allocate(100_000));
        std::ptr::null_mut()
    }
    // SAFETY: the attributes are initialised before they are used; the thread is joined.
    unsafe {
        let mut attributes = std::mem::zeroed();
        assert_eq!(libc::pthread_attr_init(&raw mut attributes), 0);
        assert_eq!(libc::pthread_attr_setstacksize(&raw mut attributes, libc::PTHREAD_STACK_MIN), 0);
        let mut thread = 0;
        assert_eq!(
            libc::pthread_create(&raw mut thread, &raw const attributes, body, std::ptr::null_mut()),
            0
        );
        assert_eq!(libc::pthread_join(thread, std::ptr::null_mut()), 0);
        libc::pthread_attr_destroy(&raw mut attributes);
    }
    assert!(profiler.status().samples >= samples + 2);
}
