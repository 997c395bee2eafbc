//! The stack at this moment: return addresses, leaf first, and their hash.
//!
//! With frame pointers a stack is a linked list, and following it takes a nanosecond a frame. Rust's standard
//! library has them; a program has them if it was built with `-C force-frame-pointers=yes`; most C libraries have
//! none. So which way is taken is found out by trying both at the start, on the caller's own stack, and looked at
//! again whenever a stack is seen for the first time.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use plimsoll_core::heap::UnwindMethod;

use crate::bounds;
use crate::stacks::DEPTH_MAX;
use crate::thread::{Thread, mix};
use crate::unwind::{self, Registers, Walked};

/// A stack as it was captured.
pub(crate) struct Stack {
    addresses: [u64; DEPTH_MAX],
    depth: usize,
    /// It was deeper, or could not be followed to its end.
    pub(crate) truncated: bool,
    pub(crate) hash: u64,
}

impl Stack {
    pub(crate) fn addresses(&self) -> &[u64] {
        &self.addresses[..self.depth]
    }

    /// Puts other addresses in place of those that were captured, as many as are kept.
    pub(crate) fn replace(&mut self, addresses: &[u64]) {
        self.depth = addresses.len().min(DEPTH_MAX);
        self.addresses[..self.depth].copy_from_slice(&addresses[..self.depth]);
        self.truncated |= addresses.len() > DEPTH_MAX;
        self.hash = hash(self.addresses());
    }
}

/// The way that is taken, as a number: an [`UnwindMethod`].
static METHOD: AtomicU8 = AtomicU8::new(0);
/// New stacks that both ways were tried on, and those where frame pointers lost frames.
static TRIED: AtomicU32 = AtomicU32::new(0);
static LOST: AtomicU32 = AtomicU32::new(0);

/// Frame pointers end in libc's start-up code, which has none: that many frames may be missing at the end.
const START_UP_FRAMES: usize = 3;
/// Below this many lost stacks nothing is decided.
const LOST_MIN: u32 = 8;
/// One lost stack in this many is too much.
const LOST_PART: u32 = 20;

/// How stacks are followed at present.
pub(crate) fn method() -> UnwindMethod {
    match METHOD.load(Relaxed) {
        1 => UnwindMethod::FramePointers,
        2 => UnwindMethod::CallFrameInformation,
        _ => UnwindMethod::None,
    }
}

/// Takes the rules, without trying. For programs as they are found: frame pointers may fit on the one stack that would be
/// tried, and be missing in the next library.
pub(crate) fn choose_rules() {
    bounds::learn();
    set_method(UnwindMethod::CallFrameInformation);
}

fn set_method(method: UnwindMethod) {
    let number = match method {
        UnwindMethod::None => 0,
        UnwindMethod::FramePointers => 1,
        UnwindMethod::CallFrameInformation => 2,
    };
    METHOD.store(number, Relaxed);
}

/// Tries both ways on the stack of the caller, and takes frame pointers if they lose nothing.
#[inline(never)]
pub(crate) fn choose() {
    bounds::learn();
    let registers = Registers::here();
    let method = crate::thread::with(|thread| {
        let stack = bounds::above(thread, registers.sp);
        let mut by_rules = [0; DEPTH_MAX];
        // SAFETY: `above` answers with what can be read.
        let rules = unsafe { unwind::walk(registers, stack.clone(), &mut by_rules) };
        let mut by_pointers = [0; DEPTH_MAX];
        let pointers = by_frame_pointers(registers.bp, stack, &mut by_pointers);
        match (rules.depth, pointers) {
            (0, 0) => UnwindMethod::None,
            (_, pointers) if lost(&by_rules[..rules.depth], &by_pointers[..pointers]) => {
                UnwindMethod::CallFrameInformation
            }
            _ => UnwindMethod::FramePointers,
        }
    });
    set_method(method);
}

/// Whether the second way lost frames of the first.
fn lost(all: &[u64], some: &[u64]) -> bool {
    !all.starts_with(some) || all.len() > some.len() + START_UP_FRAMES
}

impl Default for Stack {
    fn default() -> Self {
        Self { addresses: [0; DEPTH_MAX], depth: 0, truncated: false, hash: 0 }
    }
}

/// Captures the stack from `registers` on, which are those of a function that has not returned. Neither allocates nor
/// waits.
#[inline(never)]
pub(crate) fn follow(thread: &Thread, registers: Registers, stack: &mut Stack) {
    let readable = bounds::above(thread, registers.sp);
    match method() {
        UnwindMethod::FramePointers => {
            stack.depth = by_frame_pointers(registers.bp, readable, &mut stack.addresses);
            stack.truncated = stack.depth == DEPTH_MAX;
        }
        UnwindMethod::CallFrameInformation => {
            let walked = by_rules(thread, registers, readable, &mut stack.addresses);
            stack.depth = walked.depth;
            stack.truncated = !walked.complete;
        }
        UnwindMethod::None => {}
    }
    stack.hash = hash(stack.addresses());
}

/// A stack that frame pointers gave is new: checks it by the rules, and takes what those give if it is more.
#[inline(never)]
#[cold]
pub(crate) fn check(thread: &Thread, registers: Registers, stack: &mut Stack) {
    if method() != UnwindMethod::FramePointers {
        return;
    }
    let mut all = [0; DEPTH_MAX];
    let readable = bounds::above(thread, registers.sp);
    let walked = by_rules(thread, registers, readable, &mut all);
    stack.truncated |= !walked.complete;
    let tried = TRIED.fetch_add(1, Relaxed) + 1;
    if !lost(&all[..walked.depth], stack.addresses()) {
        return;
    }
    let lost = LOST.fetch_add(1, Relaxed) + 1;
    if lost >= LOST_MIN && lost > tried / LOST_PART {
        set_method(UnwindMethod::CallFrameInformation);
    }
    stack.addresses = all;
    stack.depth = walked.depth;
    stack.hash = hash(stack.addresses());
}

/// Follows the rules. A stack that is none of the thread's own is read again as more of it is found to be there.
fn by_rules(
    thread: &Thread,
    registers: Registers,
    mut readable: Range<usize>,
    out: &mut [u64; DEPTH_MAX],
) -> Walked {
    loop {
        // SAFETY: `above` and `more` answer with what can be read.
        let walked = unsafe { unwind::walk(registers, readable.clone(), out) };
        if walked.complete || walked.depth == DEPTH_MAX {
            return walked;
        }
        let Some(more) = bounds::more(thread, &readable) else { return walked };
        readable = more;
    }
}

/// Follows the chain of frame pointers within what can be read. A frame may be of any size that fits in.
fn by_frame_pointers(mut frame: usize, readable: Range<usize>, out: &mut [u64; DEPTH_MAX]) -> usize {
    let mut low = readable.start;
    let mut depth = 0;
    while depth < DEPTH_MAX {
        // A frame is two words: the caller's frame, and the address to return to.
        if frame < low || !frame.is_multiple_of(8) || readable.end.saturating_sub(frame) < 16 {
            break;
        }
        // SAFETY: the two words are aligned and lie between the stack pointer and the end of the stack.
        let (caller, address) = unsafe {
            let words = std::ptr::with_exposed_provenance::<usize>(frame);
            (words.read(), words.add(1).read())
        };
        // Nothing is mapped in the first page: not an address of code.
        if address < crate::os::PAGE_BYTES {
            break;
        }
        out[depth] = address as u64;
        depth += 1;
        // Callers are further up; anything else would go round in circles.
        low = frame + 16;
        frame = caller;
    }
    depth
}

/// A hash of addresses: rotate, mix in, multiply (as FxHash does), spread at the end.
fn hash(addresses: &[u64]) -> u64 {
    let step =
        |hash: u64, &address: &u64| (hash.rotate_left(5) ^ address).wrapping_mul(0x517c_c1b7_2722_0a95);
    mix(addresses.iter().fold(addresses.len() as u64, step))
}

#[cfg(all(test, target_arch = "x86_64", target_env = "gnu", not(miri)))]
mod tests {
    use std::cell::Cell;
    use std::hint::black_box;

    use super::*;
    use crate::thread;

    thread_local! {
        static SEEN: Cell<Option<Stack>> = const { Cell::new(None) };
    }

    #[inline(never)]
    fn below(depth: usize) -> usize {
        let filled = black_box([depth; 100]);
        if depth > 0 {
            return below(depth - 1) + black_box(&filled)[0];
        }
        let mut stack = Stack::default();
        thread::with(|thread| follow(thread, Registers::here(), &mut stack));
        SEEN.set(Some(stack));
        filled[1]
    }

    extern "C" fn run() {
        black_box(below(black_box(30)));
    }

    /// Runs on a mapping of so many bytes between two guard pages, and gives back what was seen there.
    fn in_a_coroutine(bytes: usize) -> Stack {
        const PAGE: usize = crate::os::PAGE_BYTES;
        // SAFETY: the contexts and the stack outlive the switch there and back, and the mapping is given back whole.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let whole = libc::mmap(std::ptr::null_mut(), bytes + 2 * PAGE, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(whole, libc::MAP_FAILED);
            let start = whole.byte_add(PAGE);
            assert_eq!(libc::mprotect(start, bytes, libc::PROT_READ | libc::PROT_WRITE), 0);
            let (mut here, mut there): (libc::ucontext_t, libc::ucontext_t) =
                (std::mem::zeroed(), std::mem::zeroed());
            assert_eq!(libc::getcontext(&raw mut there), 0);
            there.uc_stack.ss_sp = start;
            there.uc_stack.ss_size = bytes;
            there.uc_link = &raw mut here;
            libc::makecontext(&raw mut there, run, 0);
            assert_eq!(libc::swapcontext(&raw mut here, &raw const there), 0);
            assert_eq!(libc::munmap(whole, bytes + 2 * PAGE), 0);
        }
        SEEN.take().expect("it ran")
    }

    #[test]
    fn stacks_of_coroutines_are_read_to_their_end() {
        unwind::refresh();
        choose_rules();
        for bytes in [64 << 10, 128 << 10, 1 << 20] {
            // Another test may be refreshing: then there is no list for a moment.
            let stack = (0..100).map(|_| in_a_coroutine(bytes)).find(|stack| !stack.truncated);
            let stack = stack.expect("it has an end");
            assert!(stack.addresses().len() > 30, "{}", stack.addresses().len());
        }
    }
}
