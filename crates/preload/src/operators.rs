//! C++'s `operator new` and `operator delete`.
//!
//! Those of libstdc++ call `malloc` and `free`, and so us: then nothing is done here but to hand on. But an allocator that is
//! a library (jemalloc, tcmalloc, mimalloc) usually brings operators of its own, which call nothing; then each is counted
//! here as `malloc` is, and `delete` finds out whether a block is a sample as `free` does.
//!
//! An operator may throw. An exception must not pass through a function of Rust, so what calls the next operator are jumps
//! in assembly, which leave no function to pass through. Each symbol jumps through a pointer that first leads to the
//! lookup, as in [`next`](crate::next).

use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use crate::exports::HEAP;
use crate::next::{next, object};

/// How many operators there are.
const COUNT: usize = 20;

/// Where the symbols jump to, and where the counting ones jump to in turn.
static TARGETS: [AtomicPtr<()>; COUNT] = [const { AtomicPtr::new(std::ptr::null_mut()) }; COUNT];
static NEXT: [AtomicPtr<()>; COUNT] = [const { AtomicPtr::new(std::ptr::null_mut()) }; COUNT];

/// Calls a function, and keeps the arguments meanwhile.
macro_rules! call {
    ($function:literal) => {
        concat!(
            "push rdi\n.cfi_adjust_cfa_offset 8\npush rsi\n.cfi_adjust_cfa_offset 8\npush rdx\n.cfi_adjust_cfa_offset 8\n",
            "call ",
            $function,
            "\npop rdx\n.cfi_adjust_cfa_offset -8\npop rsi\n.cfi_adjust_cfa_offset -8\npop rdi\n.cfi_adjust_cfa_offset -8"
        )
    };
}

/// Declares an operator: its number, its symbol, what decides whether it is a sample, and what does without a next one.
macro_rules! operators {
    ($($number:literal $name:ident $symbol:literal $decides:ident $own:ident;)*) => {
        $(
            mod $name {
                use super::*;

                /// The operator: jumps to where it was found to lead.
                #[unsafe(naked)]
                #[unsafe(export_name = $symbol)]
                extern "C" fn operator() {
                    std::arch::naked_asm!(
                        ".cfi_startproc",
                        "mov rax, qword ptr [rip + {targets} + {number} * 8]",
                        "test rax, rax",
                        "jz 2f",
                        "jmp rax",
                        "2:",
                        call!("{look_up}"),
                        "jmp qword ptr [rip + {targets} + {number} * 8]",
                        ".cfi_endproc",
                        targets = sym TARGETS,
                        number = const $number,
                        look_up = sym look_up,
                    )
                }

                /// In its place: asks whether it is a sample; null leaves it to the next operator.
                #[unsafe(naked)]
                pub(super) extern "C" fn counting() {
                    std::arch::naked_asm!(
                        ".cfi_startproc",
                        call!("{decides}"),
                        "test rax, rax",
                        "jnz 2f",
                        "jmp qword ptr [rip + {next} + {number} * 8]",
                        "2:",
                        "ret",
                        ".cfi_endproc",
                        decides = sym $decides,
                        next = sym NEXT,
                        number = const $number,
                    )
                }
            }
        )*

        /// By number.
        const OPERATORS: [Operator; COUNT] =
            [$(Operator { symbol: concat!($symbol, "\0"), counting: $name::counting, own: $own }),*];
    };
}

/// What there is of an operator.
struct Operator {
    symbol: &'static str,
    counting: extern "C" fn(),
    /// What does without a next one.
    own: unsafe extern "C" fn(*mut u8, usize) -> *mut u8,
}

operators! {
    0 new "_Znwm" sampled own_new;
    1 new_array "_Znam" sampled own_new;
    2 new_nothrow "_ZnwmRKSt9nothrow_t" sampled own_new_nothrow;
    3 new_array_nothrow "_ZnamRKSt9nothrow_t" sampled own_new_nothrow;
    4 new_aligned "_ZnwmSt11align_val_t" sampled_aligned own_new_aligned;
    5 new_array_aligned "_ZnamSt11align_val_t" sampled_aligned own_new_aligned;
    6 new_aligned_nothrow "_ZnwmSt11align_val_tRKSt9nothrow_t" sampled_aligned own_new_aligned_nothrow;
    7 new_array_aligned_nothrow "_ZnamSt11align_val_tRKSt9nothrow_t" sampled_aligned own_new_aligned_nothrow;
    8 delete "_ZdlPv" freed own_delete;
    9 delete_array "_ZdaPv" freed own_delete;
    10 delete_sized "_ZdlPvm" freed own_delete;
    11 delete_array_sized "_ZdaPvm" freed own_delete;
    12 delete_nothrow "_ZdlPvRKSt9nothrow_t" freed own_delete;
    13 delete_array_nothrow "_ZdaPvRKSt9nothrow_t" freed own_delete;
    14 delete_aligned "_ZdlPvSt11align_val_t" freed own_delete;
    15 delete_array_aligned "_ZdaPvSt11align_val_t" freed own_delete;
    16 delete_sized_aligned "_ZdlPvmSt11align_val_t" freed own_delete;
    17 delete_array_sized_aligned "_ZdaPvmSt11align_val_t" freed own_delete;
    18 delete_aligned_nothrow "_ZdlPvSt11align_val_tRKSt9nothrow_t" freed own_delete;
    19 delete_array_aligned_nothrow "_ZdaPvSt11align_val_tRKSt9nothrow_t" freed own_delete;
}

/// A block that is a sample, or null.
extern "C" fn sampled(size: usize) -> *mut u8 {
    HEAP.sampled(size, 1)
}

extern "C" fn sampled_aligned(size: usize, align: usize) -> *mut u8 {
    HEAP.sampled(size, align)
}

/// Frees a block if it is a sample; null if it is none.
unsafe extern "C" fn freed(block: *mut u8) -> *mut u8 {
    // SAFETY: the program's promise is handed on.
    if unsafe { HEAP.free_sampled(block) } { block } else { std::ptr::null_mut() }
}

/// Finds the next operators, and decides which are counted here: those of the allocator itself, for they call no
/// `malloc`. An allocator may bring some, and leave the others to libstdc++.
extern "C" fn look_up() {
    let allocator = object(next(c"malloc"));
    for (number, operator) in OPERATORS.into_iter().enumerate() {
        let found = find(operator.symbol);
        let next = if found.is_null() { operator.own as *mut () } else { found };
        NEXT[number].store(next, Relaxed);
        let counts = object(found).is_some_and(|object| Some(object) == allocator);
        TARGETS[number].store(if counts { operator.counting as *mut () } else { next }, Relaxed);
    }
}

/// The operator behind: of the libraries after this one, or of a C++ library that came later and that only some see.
fn find(symbol: &str) -> *mut () {
    let Ok(symbol) = CStr::from_bytes_with_nul(symbol.as_bytes()) else { return std::ptr::null_mut() };
    let found = next(symbol);
    if !found.is_null() {
        return found;
    }
    for library in [c"libstdc++.so.6", c"libc++.so.1", c"libc++abi.so.1"] {
        // SAFETY: lookups by names that end with a zero; nothing is loaded that is not.
        unsafe {
            let handle = libc::dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
            if !handle.is_null() {
                let found = libc::dlsym(handle, symbol.as_ptr());
                if !found.is_null() {
                    return found.cast();
                }
            }
        }
    }
    std::ptr::null_mut()
}

/// Without a next operator: by the next `malloc`'s means. There is nobody who could throw.
unsafe extern "C" fn own_new(size: *mut u8, _: usize) -> *mut u8 {
    // SAFETY: for all of these, any size may be asked for.
    or_abort(unsafe { HEAP.malloc(size.addr().max(1)) })
}

unsafe extern "C" fn own_new_nothrow(size: *mut u8, _: usize) -> *mut u8 {
    // SAFETY: as above.
    unsafe { HEAP.malloc(size.addr().max(1)) }
}

unsafe extern "C" fn own_new_aligned(size: *mut u8, align: usize) -> *mut u8 {
    // SAFETY: as above; the compiler passes powers of two.
    or_abort(unsafe { HEAP.memalign(align, size.addr().max(1)) })
}

unsafe extern "C" fn own_new_aligned_nothrow(size: *mut u8, align: usize) -> *mut u8 {
    // SAFETY: as above.
    unsafe { HEAP.memalign(align, size.addr().max(1)) }
}

unsafe extern "C" fn own_delete(block: *mut u8, _: usize) -> *mut u8 {
    // SAFETY: the program's promise is handed on.
    unsafe { HEAP.free(block) };
    std::ptr::null_mut()
}

fn or_abort(block: *mut u8) -> *mut u8 {
    if block.is_null() {
        // SAFETY: ends the process, as an exception that nobody can catch would.
        unsafe { libc::abort() }
    }
    block
}
