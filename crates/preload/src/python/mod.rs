//! What Python runs in this thread: the frames of the interpreter, read where it keeps them.
//!
//! The native stack of a Python program says `_PyEval_EvalFrameDefault` a dozen times over, and no line of the
//! program. The lines are in a linked list of the interpreter's own, and following it takes no call into the
//! interpreter: a thread's list is changed by that thread alone, so it stands still while the thread is inside
//! `malloc`. [`Python::walk`] follows it, [`Python::describe`] names a frame, and [`merge`] puts the Python frames
//! where they belong in the native stack.
//!
//! ```text
//! thread state ─ current frame ─ frame ─ frame ─ (entry) │ frame ─ (entry) │ ─ end      the list, innermost first
//!                                └── run of one native evaluation function ┘
//! ```
//!
//! The danger is that we read memory which we do not own, by offsets that nobody promised. What removes it:
//! * Offsets are a table for each minor version ([`layout`]). What the interpreter says about itself (its version, its
//!   types' sizes) is compared before the table is believed; any other interpreter is refused with its reason.
//! * While this thread holds the interpreter's lock, nobody can take its frames away, and they are read as they are.
//!   Without the lock an interpreter that ends may free them, so then the kernel does the reading, which answers "no"
//!   where a load would end the process ([`memory`]).
//! * Each pointer must be aligned and in user space, each code object must be of the interpreter's code type, and the
//!   number of steps is bounded.
//!
//! Nothing here allocates, takes a lock or panics once [`find`] has answered. All of it may be interrupted by a signal
//! whose handler does the same, and works in a forked child, as nothing is remembered between calls.
//!
//! What it does not do: other threads, free-threaded builds, frames that native code keeps (`perf` support, just-in-time
//! compilers), and an interpreter loaded with `RTLD_LOCAL`, whose symbols nobody can see.

mod evaluation;
mod layout;
mod location;
mod memory;
mod merge;
mod text;

use std::ffi::{CStr, c_int, c_void};

use evaluation::Evaluation;
use layout::{Boundary, Current, Held, Layout};
use memory::{Memory, field, plausible};
#[allow(unused_imports, reason = "the sampler that calls it comes next")]
pub(crate) use merge::{Merged, merge};
pub(crate) use text::Text;

/// Bytes of a function's qualified name; a longer one keeps its beginning. Grows: the stack of who describes.
pub(crate) const FUNCTION_BYTES_MAX: usize = 256;
/// Bytes of a file's path; a longer one keeps its end. Grows: the stack of who describes.
pub(crate) const FILE_BYTES_MAX: usize = 512;
/// Frames stepped over, beyond two for each that there is room for: what the list may hold of frames that are no
/// function's. Grows: the time of a walk through a damaged list.
const STEPS_SPARE_MAX: usize = 64;

type StateFunction = unsafe extern "C" fn() -> *mut c_void;

/// The interpreter of this process: its symbols and the offsets of its version. Plain data.
#[derive(Clone, Copy)]
pub(crate) struct Python {
    version: Version,
    layout: Layout,
    code_type: u64,
    evaluation: Evaluation,
    thread_state: StateFunction,
    running_state: StateFunction,
    interpreter_newest: StateFunction,
    interpreter_main: StateFunction,
    finalizing: unsafe extern "C" fn() -> c_int,
}

/// A version of the interpreter, as `3.11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) major: u8,
    pub(crate) minor: u8,
}

/// Why an interpreter that is there cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsupported {
    /// It does not say its version in a symbol, so it is older than 3.11.
    Before311,
    /// A version without a table of offsets, or not a final one.
    Version(Version),
    /// Built without the global lock: frames and types are laid out differently.
    FreeThreaded,
    /// Its types are not as its version has them: a debugging or a patched build.
    Layout,
    /// A symbol that is needed is not exported.
    Symbol(&'static CStr),
}

impl Unsupported {
    /// The reason, as a profile says it. Allocates nothing.
    pub(crate) fn why(&self) -> &'static str {
        match self {
            Self::Before311 => "Python older than 3.11: its frames cannot be read",
            Self::Version(_) => "a version of Python whose frames are not known: 3.11, 3.12 and 3.13 are",
            Self::FreeThreaded => "a free-threaded build of Python: its frames cannot be read",
            Self::Layout => "a build of Python that lays out its objects in a way of its own",
            Self::Symbol(_) => "a build of Python that hides the symbols its frames are found by",
        }
    }
}

/// A frame of Python: the code that runs and where in it. Plain data; says what is only while the call lasts in which
/// it was walked.
#[derive(Clone, Copy, Default)]
pub(crate) struct PyFrame {
    /// The code object; 0 for the mark of an evaluation function without a frame of its own.
    code: u64,
    /// The instruction, an address inside the code object.
    instruction: u64,
    identity: u64,
    /// How its code object may be read.
    memory: Memory,
    is_entry: bool,
}

impl PyFrame {
    /// A hash of code, place in it, and what names the code: when the address of a code object is used again by
    /// another, the hash is another too. The mark of an empty run has 0, and nothing else has.
    pub(crate) fn identity(&self) -> u64 {
        self.identity
    }

    /// Outermost Python frame that one native evaluation function runs: the next frame belongs to an outer one.
    pub(crate) fn is_entry(&self) -> bool {
        self.is_entry
    }

    /// Not a frame: it stands for a native evaluation function that runs no Python frame at this moment, as it enters
    /// or leaves one. [`merge`] takes it under the number 0, so that the others find their places.
    pub(crate) fn is_mark(&self) -> bool {
        self.code == 0
    }

    /// What an array begins as.
    pub(crate) const DEFAULT: Self = Self { is_entry: false, ..Self::MARK };
    const MARK: Self = Self { code: 0, instruction: 0, identity: 0, memory: Memory::None, is_entry: true };
}

/// What a frame is called. Large for a stack: [`FUNCTION_BYTES_MAX`] and [`FILE_BYTES_MAX`].
pub(crate) struct Description {
    /// The qualified name, cut with `…` at its end if it is longer.
    pub(crate) function: Text<FUNCTION_BYTES_MAX>,
    /// The path as Python has it, cut with `…` at its beginning if it is longer.
    pub(crate) file: Text<FILE_BYTES_MAX>,
    /// Counted from 1; 0 if the code has none.
    pub(crate) line: u32,
}

impl Description {
    /// An empty one. Allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { function: Text::new(), file: Text::new(), line: 0 }
    }
}

/// Looks for an interpreter among what is loaded.
///
/// Away from allocations: the loader is asked for symbols, which may wait for its lock and allocate. What it answers
/// stays true until the interpreter is unloaded, which none ever is.
///
/// # Errors
/// There is an interpreter, and it cannot be read.
pub(crate) fn find() -> Result<Option<Python>, Unsupported> {
    let Some(version) = symbol(c"Py_Version") else {
        return if symbol(c"Py_GetVersion").is_some() { Err(Unsupported::Before311) } else { Ok(None) };
    };
    // SAFETY: the interpreter exports `const unsigned long Py_Version`.
    let hex = unsafe { version.cast::<u64>().read() };
    let need = |name: &'static CStr| symbol(name).ok_or(Unsupported::Symbol(name));
    let version = Version { major: (hex >> 24) as u8, minor: (hex >> 16) as u8 };
    let layout = match (version.major, version.minor) {
        _ if hex as u8 >> 4 < RELEASE_CANDIDATE => return Err(Unsupported::Version(version)),
        (3, 11) => layout::PYTHON_3_11,
        (3, 12) => layout::PYTHON_3_12,
        (3, 13) => {
            let mut words = [0; layout::DEBUG_OFFSETS_WORDS];
            // SAFETY: `_PyRuntime` begins with the table of offsets, of that many words, since 3.13.
            unsafe {
                need(c"_PyRuntime")?.cast::<u64>().copy_to_nonoverlapping(words.as_mut_ptr(), words.len())
            };
            layout::from_debug_offsets(&words)?
        }
        _ => return Err(Unsupported::Version(version)),
    };
    let type_of = |name: &'static CStr| -> Result<layout::Type, Unsupported> {
        // SAFETY: an exported type object, which is never freed and larger than what is read of it.
        Ok(unsafe { layout::Type::read(need(name)?) })
    };
    let code_type = type_of(c"PyCode_Type")?;
    layout.check(&code_type, &type_of(c"PyUnicode_Type")?, &type_of(c"PyBytes_Type")?)?;
    let (running, finalizing) = match version.minor {
        11 | 12 => (c"_PyThreadState_UncheckedGet", c"_Py_IsFinalizing"),
        _ => (c"PyThreadState_GetUnchecked", c"Py_IsFinalizing"),
    };
    let function = |name: &'static CStr| -> Result<StateFunction, Unsupported> {
        // SAFETY: each name that is asked for below is a function that takes nothing and answers with a pointer.
        Ok(unsafe { std::mem::transmute::<*mut c_void, StateFunction>(need(name)?) })
    };
    Ok(Some(Python {
        version,
        layout,
        code_type: code_type.address,
        evaluation: Evaluation::find(need(c"_PyEval_EvalFrameDefault")?),
        thread_state: function(c"PyGILState_GetThisThreadState")?,
        running_state: function(running)?,
        interpreter_newest: function(c"PyInterpreterState_Head")?,
        interpreter_main: function(c"PyInterpreterState_Main")?,
        // SAFETY: a function that takes nothing and answers with an `int`.
        finalizing: unsafe {
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> c_int>(need(finalizing)?)
        },
    }))
}

/// The release level, a digit of the version, from which on a layout stays.
const RELEASE_CANDIDATE: u8 = 0xc;

fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name ends with a zero; the loader answers with an address or null.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// The frames of this thread, and the way that they may be read.
struct Chain {
    memory: Memory,
    first: u64,
}

impl Python {
    /// Its version.
    #[allow(dead_code, reason = "the tests ask an interpreter which one it is")]
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Whether a return address lies in the function that runs Python code. The address after a call that is the last
    /// instruction counts, as return addresses are one instruction late. Allocates nothing; safe in signal handlers and
    /// after a fork.
    pub(crate) fn is_eval(&self, address: u64) -> bool {
        self.evaluation.returns_to(address)
    }

    /// The Python frames of this thread, innermost first; as many as there is room for. Frames that have not begun are
    /// left out, as Python itself leaves them out; a [mark](PyFrame::is_mark) stands where that leaves a native
    /// evaluation function without any.
    ///
    /// 0 in a thread that Python does not know, and in one that is left over while the interpreter ends. Allocates
    /// nothing, takes no lock, and leaves `errno` as it was; safe in signal handlers and after a fork. Makes system
    /// calls only in a thread that does not hold the interpreter's lock: two for each frame.
    pub(crate) fn walk(&self, out: &mut [PyFrame]) -> usize {
        let Some(Chain { memory, first }) = self.chain() else { return 0 };
        let mut depth = 0;
        // Where the run of the present evaluation function began.
        let mut run = 0;
        let mut at = first;
        for _ in 0..out.len().saturating_mul(2).saturating_add(STEPS_SPARE_MAX) {
            if depth == out.len() || !plausible(at) {
                break;
            }
            let mut frame = [0; layout::FRAME_BYTES_MAX];
            if !memory.copy(at, &mut frame[..self.layout.frame.bytes]) {
                break;
            }
            let boundary = self.layout.boundary(&frame);
            if boundary != Boundary::NoFrame {
                match self.frame(memory, &frame) {
                    Some(Found::Running(found)) => {
                        out[depth] = found;
                        depth += 1;
                    }
                    Some(Found::Beginning) => {}
                    None => break,
                }
            }
            if boundary != Boundary::Inside {
                if run == depth {
                    out[depth] = PyFrame::MARK;
                    depth += 1;
                }
                out[depth - 1].is_entry = true;
                run = depth;
            }
            at = field(&frame, self.layout.frame.previous);
        }
        depth
    }

    /// File, qualified function name and current line of a frame; false, with what was readable, if not all was.
    ///
    /// In the call that walked: later the code object may be gone. Allocates nothing, takes no lock, and leaves `errno`
    /// as it was; safe in signal handlers and after a fork. The time is bounded by the lengths of the buffers and
    /// [`location::TABLE_BYTES_MAX`].
    pub(crate) fn describe(&self, frame: &PyFrame, description: &mut Description) -> bool {
        description.function.clear();
        description.file.clear();
        description.line = 0;
        if frame.is_mark() {
            return false;
        }
        let (layout, memory) = (&self.layout.code, frame.memory);
        let mut code = [0; layout::CODE_BYTES_MAX];
        if !self.read_code(memory, frame.code, &mut code) {
            return false;
        }
        let strings = &self.layout.string;
        let name = text::PyString::at(memory, strings, field(&code, layout.qualname));
        let file = text::PyString::at(memory, strings, field(&code, layout.filename));
        let line_first = memory::field_u32(&code, layout.firstlineno);
        let table = location::Table::at(memory, &self.layout.bytes, field(&code, layout.linetable));
        let start = frame.code.wrapping_add(layout.instructions as u64);
        description.line = match (&table, frame.instruction.checked_sub(start)) {
            (Some(table), Some(offset)) => location::line(table.bytes(), line_first, offset / 2),
            _ => line_first,
        };
        let named = name.is_some_and(|name| name.beginning(&mut description.function));
        let placed = file.is_some_and(|file| file.end(&mut description.file));
        named && placed && table.is_some()
    }

    /// The list of this thread, if Python runs in it.
    fn chain(&self) -> Option<Chain> {
        let (state, memory) = self.state()?;
        let first = match self.layout.thread.current {
            Current::InState { frame } => memory.word(state.wrapping_add(frame as u64))?,
            Current::OnStack { c_frame, frame } => {
                let c_frame = memory.word(state.wrapping_add(c_frame as u64))?;
                plausible(c_frame).then(|| memory.word(c_frame.wrapping_add(frame as u64)))??
            }
        };
        Some(Chain { memory, first })
    }

    /// The state of this thread, and how what hangs on it may be read.
    fn state(&self) -> Option<(u64, Memory)> {
        // SAFETY: the functions take nothing, read a global or a thread's slot, and can be called without any lock.
        let (own, newest, main, finalizing) = unsafe {
            let (newest, main) = ((self.interpreter_newest)(), (self.interpreter_main)());
            ((self.thread_state)() as u64, newest, main, (self.finalizing)() != 0)
        };
        let several = newest != main;
        // The thread's slot follows the interpreter that runs here, or did when the thread first met Python. Another
        // interpreter can only run here if there are several.
        if !plausible(own) && !several {
            return None;
        }
        // A state that is left over in a daemon thread may be freed while the interpreter ends. Before that it is there.
        let look = if finalizing { Memory::checked() } else { Memory::OWN };
        // SAFETY: reads a variable: since 3.12 this thread's, before that the process's.
        let running = || Some(unsafe { (self.running_state)() } as u64).filter(|state| plausible(*state));
        match self.layout.thread.held {
            // With several interpreters a state can move to another thread, so only the thread's variable is certain.
            // The loader finds its place, and may need memory for that: not where the flag says it as well.
            Held::Flag { .. } if several => {
                if let Some(running) = running() {
                    return Some((running, Memory::OWN));
                }
            }
            Held::Flag { offset, mask } => {
                let status = look.half(own.wrapping_add(offset as u64));
                if status.is_some_and(|status| status & mask != 0) {
                    return Some((own, Memory::OWN));
                }
            }
            Held::Running { thread_id } => {
                let running = running();
                if running == Some(own) {
                    return Some((own, Memory::OWN));
                }
                if several && let Some(running) = running {
                    // It is another thread's as a rule, and may be gone the next moment.
                    let memory = Memory::checked();
                    let thread = memory.word(running.wrapping_add(thread_id as u64));
                    // SAFETY: the call takes nothing and cannot fail.
                    if thread == Some(unsafe { libc::pthread_self() }) {
                        return Some((running, memory));
                    }
                }
            }
        }
        // The thread that ends the interpreter is the first one, or as good as always; its state is the last to go.
        (plausible(own) && (!finalizing || is_first_thread())).then(|| (own, Memory::checked()))
    }

    /// What a frame of the list runs; none if it cannot be one.
    fn frame(&self, memory: Memory, frame: &[u8; layout::FRAME_BYTES_MAX]) -> Option<Found> {
        let address = field(frame, self.layout.frame.code);
        let instruction = field(frame, self.layout.frame.instruction);
        let layout = &self.layout.code;
        let mut code = [0; layout::CODE_BYTES_MAX];
        if !self.read_code(memory, address, &mut code) {
            return None;
        }
        let start = address.wrapping_add(layout.instructions as u64);
        let traceable = u64::from(memory::field_u32(&code, layout.first_traceable));
        let owner = frame[self.layout.frame.owner];
        if owner != layout::OWNED_BY_GENERATOR && instruction < start.wrapping_add(2 * traceable) {
            return Some(Found::Beginning);
        }
        let names = [layout.qualname, layout.filename, layout.linetable].map(|at| field(&code, at));
        let line_first = u64::from(memory::field_u32(&code, layout.firstlineno));
        let mut identity = mix(address ^ mix(instruction));
        for part in names.into_iter().chain([line_first]) {
            identity = mix(identity ^ part);
        }
        // 0 is the mark's.
        let identity = identity.max(1);
        Some(Found::Running(PyFrame { code: address, instruction, identity, memory, is_entry: false }))
    }

    /// The code object at an address, up to its instructions.
    fn read_code(&self, memory: Memory, address: u64, code: &mut [u8; layout::CODE_BYTES_MAX]) -> bool {
        plausible(address)
            && memory.copy(address, &mut code[..self.layout.code.instructions])
            && field(code, layout::OBJECT_TYPE) == self.code_type
    }
}

fn is_first_thread() -> bool {
    // SAFETY: the calls take nothing and cannot fail.
    unsafe { libc::gettid() == libc::getpid() }
}

enum Found {
    Running(PyFrame),
    /// It makes its cells or its generator: Python does not show it yet.
    Beginning,
}

/// Spreads the bits of a number over the whole word.
fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}
