//! Code that nobody describes: made at run time, or in a gap between two functions; and stacks that end in no function.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::ops::Range;

use super::{ROOM, Registers, Walked, refreshed, stack_from, walk};
use crate::unwind::guess::follows_call;
use crate::unwind::is_readable;
use crate::unwind::published::with_modules;

thread_local! {
    /// What [`look`] saw last.
    static SEEN: RefCell<(Vec<u64>, bool)> = const { RefCell::new((Vec::new(), false)) };
    /// The stack that it looks at, if it is not the thread's.
    static STACK: RefCell<Option<Range<usize>>> = const { RefCell::new(None) };
}

/// Reads the stack of the caller, a callback without arguments.
#[inline(never)]
extern "C" fn look() {
    let registers = Registers::here();
    let stack = STACK.with_borrow(|stack| stack.clone()).unwrap_or_else(|| stack_from(registers.sp));
    let mut out = [0; ROOM];
    // SAFETY: it is the stack that this runs on.
    let Walked { depth, complete } = unsafe { walk(registers, stack, &mut out) };
    SEEN.set((out[..depth].to_vec(), complete));
}

/// What [`look`] sees if `f` has it called.
fn seen(f: impl FnOnce()) -> (Vec<u64>, bool) {
    f();
    SEEN.take()
}

/// A page of code that is in no module.
struct Code {
    start: *mut c_void,
}

const PAGE: usize = 4096;

impl Code {
    fn new(bytes: &[u8]) -> Self {
        let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        // SAFETY: a new mapping, and the bytes fit in.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let start = libc::mmap(std::ptr::null_mut(), PAGE, protection, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            start.cast::<u8>().copy_from(bytes.as_ptr(), bytes.len());
            Self { start }
        }
    }

    fn contains(&self, address: u64) -> bool {
        (self.start.addr()..self.start.addr() + PAGE).contains(&(address as usize))
    }

    /// Calls it with a function that it calls, and an argument for that.
    fn call(&self, function: *const c_void, argument: *const c_void) {
        type Calls = unsafe extern "C" fn(*const c_void, *const c_void);
        // SAFETY: the tests' code is of this type.
        unsafe { std::mem::transmute::<*mut c_void, Calls>(self.start)(function, argument) };
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `new`, and nothing of it is running.
        unsafe { libc::munmap(self.start, PAGE) };
    }
}

/// `push rbp; mov rbp, rsp; mov rax, rdi; mov rdi, rsi; call rax; pop rbp; ret`: calls its first argument with its second.
const WITH_FRAME: [u8; 14] =
    [0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0xff, 0xd0, 0x5d, 0xc3];
/// Where the call returns to.
const RETURNS_TO: u64 = 12;

#[test]
fn frames_of_code_made_at_run_time_are_followed_and_left_again() {
    refreshed();
    let (outer, inner) = (Code::new(&WITH_FRAME), Code::new(&WITH_FRAME));
    let (direct, complete) = seen(|| look());
    assert!(complete);
    for _ in 0..3 {
        let (stack, complete) = seen(|| outer.call(inner.start, look as *const c_void));
        assert!(complete, "{stack:x?}");
        assert_eq!(stack[0], inner.start as u64 + RETURNS_TO);
        assert_eq!(stack[1], outer.start as u64 + RETURNS_TO);
        // From there on it is the test's own stack, but for the helper that called the code.
        assert_eq!(stack.last(), direct.last());
        assert!(stack.len() > direct.len() && stack[stack.len() - 8..] == direct[direct.len() - 8..]);
    }
}

/// `sub rsp, 24; call rdi; add rsp, 24; ret`.
const WITHOUT_FRAME: [u8; 11] = [0x48, 0x83, 0xec, 0x18, 0xff, 0xd7, 0x48, 0x83, 0xc4, 0x18, 0xc3];

/// `rbp` is somebody else's then. Whatever it leads to, it is code or the stack ends there.
#[test]
fn code_without_frames_leads_to_code_or_nowhere() {
    refreshed();
    let code = Code::new(&WITHOUT_FRAME);
    let (stack, _) = seen(|| code.call(look as *const c_void, std::ptr::null()));
    assert!(code.contains(stack[0]), "{stack:x?}");
    let modules = with_modules(|modules| modules.to_core()).expect("the list was read");
    let is_code = |address: &u64| modules.iter().any(|module| module.addresses.contains(&(address - 1)));
    assert!(stack[1..].iter().all(is_code), "{stack:x?}");
}

/// The chain leads out of the stack, backwards, or to where nothing is.
#[test]
fn a_broken_chain_ends_the_stack() {
    refreshed();
    let code = Code::new(&WITH_FRAME);
    let mut stack = vec![0_u64; 64];
    let start = stack.as_ptr().expose_provenance();
    let here = code.start as usize + RETURNS_TO as usize;
    let mut depth = |bp: usize, next_bp: u64, next: u64| {
        stack[8] = next_bp;
        stack[9] = next;
        let registers = Registers { ip: here, sp: start + 32, bp };
        let mut out = [0; 8];
        // SAFETY: the vector's own memory.
        unsafe { walk(registers, start..start + 64 * 8, &mut out) }.depth
    };
    let frame = start + 64;
    assert_eq!(depth(frame, 0, here as u64), 1);
    for next in [0x1234, 1 << 46, u64::MAX, 1 << 47] {
        assert_eq!(depth(frame, 0, next), 0, "{next:x}");
    }
    for bp in [0, start, start + 65, start + 64 * 8, start + 64 * 8 - 8, usize::MAX, usize::MAX - 7] {
        assert_eq!(depth(bp, 0, here as u64), 0, "{bp:x}");
    }
    // The next frame is below this one, or this one.
    for next_bp in [start, frame] {
        assert_eq!(depth(frame, next_bp as u64, here as u64), 1);
    }
}

// A function that nobody describes, between two that somebody does; and one that returns to the first byte of another.
std::arch::global_asm!(
    ".text",
    ".p2align 4",
    ".type plimsoll_before, @function",
    "plimsoll_before:",
    ".cfi_startproc",
    "sub rsp, 4088",
    ".cfi_def_cfa_offset 4096",
    "add rsp, 4088",
    ".cfi_def_cfa_offset 8",
    "ret",
    ".cfi_endproc",
    ".globl plimsoll_gap",
    ".type plimsoll_gap, @function",
    "plimsoll_gap:",
    "push rbp",
    "mov rbp, rsp",
    "call rdi",
    "pop rbp",
    "ret",
    ".p2align 4",
    ".type plimsoll_after, @function",
    "plimsoll_after:",
    ".cfi_startproc",
    "ret",
    ".cfi_endproc",
);

unsafe extern "C" {
    fn plimsoll_gap(look: extern "C" fn());
}

#[test]
fn a_gap_between_functions_is_not_the_function_before() {
    refreshed();
    let (direct, _) = seen(|| look());
    let gap = plimsoll_gap as *const () as u64;
    // SAFETY: it calls the function that it is given.
    let (stack, complete) = seen(|| unsafe { plimsoll_gap(look) });
    assert!(complete && (gap..gap + 16).contains(&stack[0]), "{stack:x?}");
    assert_eq!(stack[stack.len() - 8..], direct[direct.len() - 8..]);
}

#[test]
fn a_coroutine_ends_where_libc_began_it() {
    extern "C" fn run() {
        look();
    }
    refreshed();
    let mut stack = vec![0_u64; 4096];
    let start = stack.as_mut_ptr().expose_provenance();
    STACK.set(Some(start..start + stack.len() * 8));
    let (seen, complete) = seen(|| {
        // SAFETY: the contexts and the stack outlive the switch there and back.
        unsafe {
            let (mut here, mut there): (libc::ucontext_t, libc::ucontext_t) =
                (std::mem::zeroed(), std::mem::zeroed());
            assert_eq!(libc::getcontext(&raw mut there), 0);
            there.uc_stack.ss_sp = stack.as_mut_ptr().cast();
            there.uc_stack.ss_size = stack.len() * 8;
            there.uc_link = &raw mut here;
            libc::makecontext(&raw mut there, run, 0 as c_int);
            assert_eq!(libc::swapcontext(&raw mut here, &raw const there), 0);
        }
    });
    STACK.set(None);
    assert!(complete, "{seen:x?}");
}

#[test]
fn memory_is_asked_about_without_being_touched() {
    let page = Code::new(&WITH_FRAME);
    let errno = || std::io::Error::last_os_error().raw_os_error();
    // SAFETY: this thread's own.
    unsafe { *libc::__errno_location() = 77 };
    assert!(is_readable(page.start.addr()) && is_readable(page.start.addr() + PAGE - 1));
    // SAFETY: a page of this test.
    assert_eq!(unsafe { libc::mprotect(page.start, PAGE, libc::PROT_NONE) }, 0);
    for address in [page.start.addr(), 0, 1 << 46, 1 << 47, usize::MAX] {
        assert!(!is_readable(address), "{address:x}");
        assert!(!follows_call(address as u64));
    }
    assert_eq!(errno(), Some(77));
}
