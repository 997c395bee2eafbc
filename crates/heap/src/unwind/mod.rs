//! Who called this, read from inside an allocation.
//!
//! Most programs are built without frame pointers, and then a chain of them ends after a frame or two, or
//! leads somewhere else. What is always there, because exceptions and panics need it, is `.eh_frame`: for
//! every instruction of every function, how far up the stack the return address is. The usual readers of it
//! allocate, or take the dynamic loader's lock, and both can end a program that is in the middle of `malloc`.
//!
//! [`walk`] does neither. It takes no lock, waits for nobody, allocates nothing, uses less than two kilobytes
//! of stack and no thread-local storage, and may be interrupted by itself in a signal handler or find itself
//! in a forked child at any instruction. What it reads is either inside the stack that it was given, or in
//! tables that the loader has mapped; everything that was read is checked before it is followed.
//!
//! ```text
//! pc ── rules: a word for each known pc ── hit: 5 ns ──────────────────────────────┐
//!          └ miss ─┬ published ─ modules ─┬ table: search ─ cfi: rule ─ remembered ┼─► caller's pc, sp, bp
//!                  └ found: came later ───┘                                        │
//!                  └ guess: no module ─ the chain of frame pointers ───────────────┘
//! ```
//!
//! What is loaded is read by [`refresh`], away from allocations. Until its first call there are no rules, and
//! every stack is empty. What is loaded after it is found by asking glibc, which answers without a lock.
//!
//! Words: a stack is *complete* if its last frame is the first function of its thread. An address is *listed*
//! if the module that it is in describes it.
//!
//! # Why not a library
//! `framehop` has the right idea, rules cached by address. But its cache belongs to one thread and is
//! borrowed mutably: it would be cold in every new thread, need storage in each, and a signal that allocates
//! would find it borrowed. Here there is one for the process, eight bytes an address, and nobody waits.
//! Reading the tables with `gimli` is general, and pays for it with a context of 4 KiB, on the stack of a
//! thread that may have 16 KiB in all, and twice the time. The tests compare every rule with `gimli` and
//! every stack with libgcc. docs/decisions/0006-unwinding.md has the numbers.
//!
//! # What it does not follow
//! Code made at run time that keeps no frame pointers; code loaded since the last [`refresh`] where glibc is older than
//! 2.35; frames on another stack than the given one (a handler on an alternate stack is read up to its first function);
//! a function whose frame hangs on a register other than `rsp` and `rbp` at a call (the dynamic loader's lazy binding,
//! some assembly); a program built with `-C force-unwind-tables=no`. The result then says that it is not complete.
#![cfg_attr(miri, allow(dead_code, unused_imports, reason = "Miri has no loaded modules to read"))]

mod bytes;
mod cfi;
mod dwarf;
mod found;
mod guess;
mod image;
mod modules;
mod published;
mod readable;
mod records;
mod rules;
mod table;
#[cfg(all(test, target_arch = "x86_64", not(any(miri, loom))))]
mod tests;

use std::hint::select_unpredictable;
use std::ops::Range;

#[allow(unused_imports, reason = "for the library that stands in front of malloc")]
pub(crate) use published::record_modules_in;
pub(crate) use published::refresh;
pub(crate) use readable::is_readable;
#[allow(unused_imports, reason = "for the library that stands in front of malloc")]
pub(crate) use records::{ModuleRecord, ModuleRecords};
pub(crate) use rules::CACHE_BYTES;

use cfi::signal;
use found::Found;
use modules::Which;
use plimsoll_core::heap::Module;
use rules::{Kind, Rule};

/// Where a thread is: the three registers that a stack is read from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Registers {
    /// The instruction that is being executed.
    pub(crate) ip: usize,
    /// The stack pointer.
    pub(crate) sp: usize,
    /// `rbp`, which may be a frame pointer or anything.
    pub(crate) bp: usize,
}

impl Registers {
    /// Those of the function that this is inlined into: [`walk`] then gives its return address first.
    #[inline(always)]
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    pub(crate) fn here() -> Self {
        let (ip, sp, bp): (usize, usize, usize);
        // One block, so that the three are of the same moment.
        // SAFETY: it reads three registers and writes those that it is given.
        unsafe {
            std::arch::asm!(
                "lea {ip}, [rip]",
                "mov {sp}, rsp",
                "mov {bp}, rbp",
                ip = lateout(reg) ip,
                sp = lateout(reg) sp,
                bp = lateout(reg) bp,
                options(nomem, nostack, preserves_flags),
            );
        }
        Self { ip, sp, bp }
    }

    /// Nowhere: stacks of this machine are not read.
    #[inline(always)]
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    pub(crate) fn here() -> Self {
        Self::default()
    }
}

/// What was loaded at the last [`refresh`].
pub(crate) fn modules() -> Vec<Module> {
    published::with_modules(modules::Modules::to_core).unwrap_or_default()
}

/// Forgets what is known about every address. For whoever sees that a module was unloaded, right afterwards: what comes to
/// its place has other rules. Neither allocates nor waits; what was forgotten is looked up again.
pub(crate) fn forget_rules() {
    rules::empty();
}

/// What [`walk`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    /// How many addresses were written.
    pub(crate) depth: usize,
    /// Whether the last of them is in the first function of the thread. If not, the stack is deeper than
    /// there was room, or went where it could not be followed.
    pub(crate) complete: bool,
}

/// Writes the return addresses of a stack to `out`, leaf first, at most as many as it has room for.
///
/// `stack` is where frames may be: from the stack pointer or below to the highest address of the stack. A
/// function that a signal interrupted has no return address in its frame; what is written is one more than
/// the address of the interrupted instruction, so that "the call is before the address" holds for all.
///
/// *Allocation behaviour*: none, ever. *Signals, fork*: safe at every instruction.
///
/// # Safety
/// Every byte of `stack` is readable. The registers may be anything.
pub(crate) unsafe fn walk(registers: Registers, stack: Range<usize>, out: &mut [u64]) -> Walked {
    if cfg!(not(target_arch = "x86_64")) || !stack.contains(&registers.sp) || !is_aligned(registers.sp) {
        return Walked { depth: 0, complete: false };
    }
    let mut frame = registers;
    // What is looked up is the byte before: the return address itself may already belong to another function.
    let mut after = (frame.ip as u64).wrapping_add(1);
    let mut depth = 0;
    let complete = loop {
        let mut rule = rules::remembered(after);
        if !rule.is_usual() {
            // SAFETY: the caller's promise about the stack is handed on.
            match unsafe { unusual(rule, after, frame, &stack) } {
                Step::Usual(learned) => rule = learned,
                Step::To { caller, return_address } => {
                    let Some(place) = out.get_mut(depth) else { break false };
                    *place = return_address;
                    depth += 1;
                    (frame, after) = (caller, return_address);
                    continue;
                }
                Step::End => break true,
                Step::Lost => break false,
                Step::NoCode => {
                    depth = depth.saturating_sub(1);
                    break false;
                }
            }
        }
        // Code with and without frame pointers is mixed in every stack: a guess here would often be wrong.
        let base = select_unpredictable(rule.is_from_bp(), frame.bp, frame.sp);
        let cfa = base.wrapping_add(rule.offset());
        if !is_frame(cfa, &frame, &stack) {
            break false;
        }
        let bp_below = rule.bp_below();
        if bp_below != 0 {
            let place = cfa.wrapping_sub(bp_below);
            // Below the CFA, also where the subtraction went around.
            if place < stack.start || place > cfa {
                break false;
            }
            // SAFETY: aligned as the CFA is; at or above the stack's start; and at least two words below the
            // CFA, which is at most the stack's end.
            frame.bp = unsafe { word(place) };
        }
        // SAFETY: the CFA is aligned, above `sp`, which is in the stack and aligned, and at most the stack's
        // end: so the word below it is in the stack.
        frame.ip = unsafe { word(cfa - WORD) };
        frame.sp = cfa;
        if frame.ip == 0 {
            break true;
        }
        let Some(place) = out.get_mut(depth) else { break false };
        after = frame.ip as u64;
        *place = after;
        depth += 1;
    };
    Walked { depth, complete }
}

const WORD: usize = size_of::<usize>();

#[inline(always)]
fn is_aligned(address: usize) -> bool {
    address.is_multiple_of(WORD)
}

/// Whether a CFA can be one: above the last, for then the walk ends; not beyond the stack; aligned.
#[inline(always)]
fn is_frame(cfa: usize, frame: &Registers, stack: &Range<usize>) -> bool {
    cfa > frame.sp && cfa <= stack.end && is_aligned(cfa)
}

/// # Safety
/// The word at the address is readable and aligned.
#[inline(always)]
unsafe fn word(address: usize) -> usize {
    // Volatile: it is another function's variable, and the compiler is not to think about whose.
    // SAFETY: the caller's promise.
    unsafe { std::ptr::with_exposed_provenance::<usize>(address).read_volatile() }
}

/// The word at an address, if that is in the stack.
///
/// # Safety
/// Every byte of `stack` is readable.
unsafe fn checked_word(address: usize, stack: &Range<usize>) -> Option<usize> {
    let inside = address >= stack.start && address.checked_add(WORD)? <= stack.end;
    // SAFETY: inside the stack and aligned.
    (inside && is_aligned(address)).then(|| unsafe { word(address) })
}

/// Where an unusual rule, or none, leads.
enum Step {
    /// It was only not remembered, and is a usual one.
    Usual(Rule),
    /// To a caller, and what stands for its return address.
    To { caller: Registers, return_address: u64 },
    /// Nobody called.
    End,
    /// Nowhere that could be followed.
    Lost,
    /// The address is none of code, so whatever led to it was wrong.
    NoCode,
}

/// What is done about a rule that the walk itself does not follow: once in a stack, or when it is new.
///
/// # Safety
/// Every byte of `stack` is readable.
#[cold]
#[inline(never)]
unsafe fn unusual(mut rule: Rule, after: u64, frame: Registers, stack: &Range<usize>) -> Step {
    if rule == Rule::NOTHING {
        match learn(after, Reached::Surely) {
            Some(learned) if learned.is_usual() => return Step::Usual(learned),
            Some(learned) => rule = learned,
            None => return Step::NoCode,
        }
    }
    if rule == Rule::END {
        return Step::End;
    }
    // SAFETY: the caller's promise.
    match unsafe { caller_by_unusual(rule, after, frame, stack) } {
        Some(caller) if caller.ip == 0 => Step::End,
        Some(caller) => {
            // An interrupted function did not call: the rule is that of the very instruction.
            let more = u64::from(rule == Rule::SIGNAL);
            Step::To { caller, return_address: (caller.ip as u64).wrapping_add(more) }
        }
        None => Step::Lost,
    }
}

/// How an address was come to.
#[derive(Clone, Copy)]
enum Reached {
    /// By a rule, or from the registers.
    Surely,
    /// By a frame pointer that may be none, from code that returns to the address, if it is one.
    Perhaps { from: u64 },
}

/// The rule for the byte before an address, which is not remembered. `None` if there is no code, as far as can be told.
fn learn(after: u64, reached: Reached) -> Option<Rule> {
    let since = rules::since();
    let rule = match found(after)? {
        Found::Code(rule) => rule,
        Found::Data => return None,
        Found::Nothing => {
            let is_code = match reached {
                Reached::Surely => guess::is_there(after),
                Reached::Perhaps { from } => guess::follows_call(after) || is_neighbour(from, after),
            };
            if !is_code {
                return None;
            }
            Rule::UNLISTED
        }
    };
    rules::remember(after, rule, since);
    Some(rule)
}

/// What is before an address. `None` before the first [`refresh`].
fn found(after: u64) -> Option<Found> {
    let address = after.wrapping_sub(1);
    let which = if found::can_ask() { Which::Lasting } else { Which::All };
    let listed = published::with_modules(|modules| modules.rule(address, which))?;
    Some(listed.map_or_else(|| found::at(address), Found::Code))
}

/// Whether two addresses are of the same area of code that was made at run time. An interpreter's return addresses may
/// be entries of its own, with no call before them.
fn is_neighbour(from: u64, to: u64) -> bool {
    guess::is_near(from, to) && guess::is_there(to) && matches!(found(from), Some(Found::Nothing))
}

/// Whether a return address may be one, to which code at the other address returns.
fn is_code(after: u64, from: u64) -> bool {
    rules::remembered(after) != Rule::NOTHING || learn(after, Reached::Perhaps { from }).is_some()
}

/// The caller's registers by one of the rules that are met once in a stack, if at all.
///
/// # Safety
/// Every byte of `stack` is readable.
unsafe fn caller_by_unusual(
    rule: Rule,
    after: u64,
    frame: Registers,
    stack: &Range<usize>,
) -> Option<Registers> {
    // SAFETY: for all of them, the caller's promise.
    let at = |address: usize| unsafe { checked_word(address, stack) };
    let caller = match rule.kind() {
        Kind::AtBp => {
            let sp = at(frame.bp.wrapping_add_signed(rule.at_bp_offset()))?;
            Registers { ip: at(sp.wrapping_sub(WORD))?, sp, bp: at(frame.bp)? }
        }
        Kind::Signal => {
            let saved = |offset: usize| at(frame.sp.wrapping_add(offset));
            Registers { ip: saved(signal::IP)?, sp: saved(signal::SP)?, bp: saved(signal::BP)? }
        }
        Kind::Unlisted if frame.bp >= frame.sp => {
            // Nobody says that `rbp` is a frame pointer. If it is, a return address into code is above it.
            let ip = at(frame.bp.wrapping_add(WORD))?;
            if !is_code(ip as u64, after) {
                return None;
            }
            Registers { ip, sp: frame.bp.wrapping_add(2 * WORD), bp: at(frame.bp)? }
        }
        _ => return None,
    };
    is_frame(caller.sp, &frame, stack).then_some(caller)
}
