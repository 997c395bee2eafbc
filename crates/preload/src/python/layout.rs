//! Where the interpreter keeps what: offsets, one table for each minor version.
//!
//! The layout of a minor version stays for all its patch releases, as extension modules are built against it. For 3.11
//! and 3.12 the offsets are constants, which a test compares with the headers of the installed interpreters; 3.13
//! carries most of them itself.

use super::Unsupported;
use super::memory::field;

/// Bytes of a frame that are read, of any version.
pub(super) const FRAME_BYTES_MAX: usize = 80;
/// Bytes of a code object before its instructions, of any version.
pub(super) const CODE_BYTES_MAX: usize = 256;
/// The words of `_Py_DebugOffsets` that are read.
pub(super) const DEBUG_OFFSETS_WORDS: usize = 71;

/// Every object: its type, and for those of variable size the number of items.
pub(super) const OBJECT_TYPE: usize = 8;
const OBJECT_SIZE: usize = 16;
/// `PyTypeObject`: the name, and the size of an object without its items.
const TYPE_NAME: usize = 24;
const TYPE_BASIC_SIZE: usize = 32;

/// `FRAME_OWNED_BY_GENERATOR`.
pub(super) const OWNED_BY_GENERATOR: u8 = 1;
/// `FRAME_OWNED_BY_CSTACK`: no function's, it marks where a native evaluation function began.
const OWNED_BY_C_STACK: u8 = 3;
/// `_status.active` of a thread's state.
const STATUS_ACTIVE: u32 = 1 << 4;
/// `co_extra` and the integer before it: how far `_co_firsttraceable` lies before the instructions.
const FIRST_TRACEABLE_BEFORE: usize = 16;
/// What a string that is not ASCII has more: its length and address in UTF-8.
const STRING_UTF8_BYTES: usize = 16;

/// The offsets of one version, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) thread: ThreadState,
    pub(super) frame: Frame,
    pub(super) code: Code,
    pub(super) string: StringObject,
    pub(super) bytes: BytesObject,
}

/// `PyThreadState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ThreadState {
    pub(super) current: Current,
    pub(super) held: Held,
}

/// The way from a thread's state to its innermost frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Current {
    InState {
        frame: usize,
    },
    /// By way of a `_PyCFrame` on the stack of the native evaluation function.
    OnStack {
        c_frame: usize,
        frame: usize,
    },
}

/// How a thread can see that it holds the interpreter's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// A flag in its state, which only the thread itself changes.
    Flag { offset: usize, mask: u32 },
    /// The one running state of the process is its own; where a state has its thread's id.
    Running { thread_id: usize },
}

/// `_PyInterpreterFrame`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// As many as hold all of the following.
    pub(super) bytes: usize,
    pub(super) code: usize,
    pub(super) previous: usize,
    pub(super) instruction: usize,
    pub(super) owner: usize,
    /// `is_entry`, where native evaluation functions are told apart by a flag.
    entry: Option<usize>,
}

/// Where a frame stands in the run of a native evaluation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boundary {
    Inside,
    /// The outermost of the run.
    Outermost,
    /// Comes after the outermost, and is no function's.
    NoFrame,
}

/// `PyCodeObject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) filename: usize,
    pub(super) qualname: usize,
    pub(super) linetable: usize,
    pub(super) firstlineno: usize,
    pub(super) first_traceable: usize,
    /// `co_code_adaptive`, the end of the fixed part.
    pub(super) instructions: usize,
}

/// `PyASCIIObject` and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StringObject {
    pub(super) length: usize,
    pub(super) state: usize,
    /// Where the characters are if all are ASCII.
    pub(super) ascii: usize,
    /// Where they are otherwise; or, in a string of a derived type, where their address is.
    pub(super) compact: usize,
}

/// `PyBytesObject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BytesObject {
    pub(super) length: usize,
    pub(super) values: usize,
}

pub(super) const PYTHON_3_11: Layout = Layout {
    thread: ThreadState {
        current: Current::OnStack { c_frame: 56, frame: 8 },
        held: Held::Running { thread_id: 152 },
    },
    frame: Frame { bytes: 72, code: 32, previous: 48, instruction: 56, owner: 69, entry: Some(68) },
    code: Code {
        filename: 112,
        qualname: 128,
        linetable: 136,
        firstlineno: 72,
        first_traceable: 168,
        instructions: 184,
    },
    string: StringObject { length: 16, state: 32, ascii: 48, compact: 72 },
    bytes: BytesObject { length: OBJECT_SIZE, values: 32 },
};

pub(super) const PYTHON_3_12: Layout = Layout {
    thread: ThreadState {
        current: Current::OnStack { c_frame: 56, frame: 0 },
        held: Held::Flag { offset: 24, mask: STATUS_ACTIVE },
    },
    frame: Frame { bytes: 72, code: 0, previous: 8, instruction: 56, owner: 70, entry: None },
    code: Code {
        filename: 112,
        qualname: 128,
        linetable: 136,
        firstlineno: 68,
        first_traceable: 176,
        instructions: 192,
    },
    string: StringObject { length: 16, state: 32, ascii: 40, compact: 56 },
    bytes: BytesObject { length: OBJECT_SIZE, values: 32 },
};

/// The words of `_Py_DebugOffsets`, as 3.13 has them.
mod word {
    pub(super) const COOKIE: usize = 0;
    pub(super) const VERSION: usize = 1;
    pub(super) const FREE_THREADED: usize = 2;
    pub(super) const THREAD_CURRENT_FRAME: usize = 23;
    pub(super) const THREAD_STATUS: usize = 27;
    pub(super) const FRAME_PREVIOUS: usize = 29;
    pub(super) const FRAME_EXECUTABLE: usize = 30;
    pub(super) const FRAME_INSTRUCTION: usize = 31;
    pub(super) const FRAME_LOCALS: usize = 32;
    pub(super) const FRAME_OWNER: usize = 33;
    pub(super) const CODE_FILENAME: usize = 35;
    pub(super) const CODE_QUALNAME: usize = 37;
    pub(super) const CODE_LINETABLE: usize = 38;
    pub(super) const CODE_FIRSTLINENO: usize = 39;
    pub(super) const CODE_INSTRUCTIONS: usize = 43;
    pub(super) const OBJECT_TYPE: usize = 45;
    pub(super) const BYTES_LENGTH: usize = 65;
    pub(super) const BYTES_VALUES: usize = 66;
    pub(super) const STRING_STATE: usize = 68;
    pub(super) const STRING_LENGTH: usize = 69;
    pub(super) const STRING_ASCII: usize = 70;
}

/// "xdebugpy".
const COOKIE: u64 = u64::from_le_bytes(*b"xdebugpy");

/// The layout of 3.13, which `_PyRuntime` begins with.
pub(super) fn from_debug_offsets(words: &[u64; DEBUG_OFFSETS_WORDS]) -> Result<Layout, Unsupported> {
    if words[word::COOKIE] != COOKIE || words[word::VERSION] >> 16 != 0x030d {
        return Err(Unsupported::Layout);
    }
    if words[word::FREE_THREADED] != 0 {
        return Err(Unsupported::FreeThreaded);
    }
    // An offset beyond any structure would not be less wrong for being read modulo something.
    let at = |word: usize| usize::try_from(words[word]).unwrap_or(usize::MAX);
    let layout = Layout {
        thread: ThreadState {
            current: Current::InState { frame: at(word::THREAD_CURRENT_FRAME) },
            held: Held::Flag { offset: at(word::THREAD_STATUS), mask: STATUS_ACTIVE },
        },
        frame: Frame {
            bytes: at(word::FRAME_LOCALS),
            code: at(word::FRAME_EXECUTABLE),
            previous: at(word::FRAME_PREVIOUS),
            instruction: at(word::FRAME_INSTRUCTION),
            owner: at(word::FRAME_OWNER),
            entry: None,
        },
        code: Code {
            filename: at(word::CODE_FILENAME),
            qualname: at(word::CODE_QUALNAME),
            linetable: at(word::CODE_LINETABLE),
            firstlineno: at(word::CODE_FIRSTLINENO),
            first_traceable: at(word::CODE_INSTRUCTIONS).saturating_sub(FIRST_TRACEABLE_BEFORE),
            instructions: at(word::CODE_INSTRUCTIONS),
        },
        string: StringObject {
            length: at(word::STRING_LENGTH),
            state: at(word::STRING_STATE),
            ascii: at(word::STRING_ASCII),
            compact: at(word::STRING_ASCII).saturating_add(STRING_UTF8_BYTES),
        },
        bytes: BytesObject { length: at(word::BYTES_LENGTH), values: at(word::BYTES_VALUES) },
    };
    if at(word::OBJECT_TYPE) != OBJECT_TYPE {
        return Err(Unsupported::Layout);
    }
    Ok(layout)
}

/// What a type says about itself.
#[derive(Clone, Copy)]
pub(super) struct Type {
    pub(super) address: u64,
    /// The first bytes of its name.
    name: Option<u32>,
    basic_size: u64,
}

impl Type {
    /// # Safety
    /// A `PyTypeObject` that stays.
    pub(super) unsafe fn read(object: *const std::ffi::c_void) -> Self {
        let mut bytes = [0; TYPE_BASIC_SIZE + 8];
        // SAFETY: a type is larger than that; the caller says that it is one.
        unsafe { object.cast::<u8>().copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        // In a build that has more before the name, this is another pointer or none; the kernel looks.
        let name = super::memory::Memory::checked().half(field(&bytes, TYPE_NAME));
        Self { address: object as u64, name, basic_size: field(&bytes, TYPE_BASIC_SIZE) }
    }
}

impl Layout {
    /// Whether the interpreter's types are as this layout has them, and the offsets inside what is read.
    pub(super) fn check(&self, code: &Type, string: &Type, bytes: &Type) -> Result<(), Unsupported> {
        let frame = &self.frame;
        let in_frame = [frame.code, frame.previous, frame.instruction]
            .iter()
            .all(|at| at.saturating_add(8) <= frame.bytes)
            && frame.owner < frame.bytes
            && frame.bytes <= FRAME_BYTES_MAX;
        let in_code = [self.code.filename, self.code.qualname, self.code.linetable, self.code.firstlineno]
            .iter()
            .all(|at| at.saturating_add(8) <= self.code.first_traceable)
            && self.code.instructions <= CODE_BYTES_MAX;
        // The basic size of a code object ends where its instructions begin, that of a string has one pointer more
        // than a compact one, and that of bytes counts the zero at the end.
        let sizes = code.basic_size == self.code.instructions as u64
            && string.basic_size == self.string.compact as u64 + 8
            && bytes.basic_size == self.bytes.values as u64 + 1;
        let names = [(code, b"code"), (string, b"str\0"), (bytes, b"byte")]
            .iter()
            .all(|(of, name)| of.name == Some(u32::from_le_bytes(**name)));
        let in_string = self.string.length.max(self.string.state).saturating_add(8) <= self.string.ascii;
        if in_frame && in_code && in_string && sizes && names { Ok(()) } else { Err(Unsupported::Layout) }
    }

    /// Where a frame that was copied stands.
    pub(super) fn boundary(&self, frame: &[u8; FRAME_BYTES_MAX]) -> Boundary {
        match self.frame.entry {
            Some(entry) if frame[entry] != 0 => Boundary::Outermost,
            None if frame[self.frame.owner] == OWNED_BY_C_STACK => Boundary::NoFrame,
            _ => Boundary::Inside,
        }
    }
}

#[cfg(test)]
mod tests;
