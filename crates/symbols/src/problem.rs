//! What was missing. A report of bare addresses without a reason sends its reader to search in the wrong
//! place; each reason here says what to install, rebuild or raise.

use std::fmt;

use plimsoll_core::Bytes;

/// Which symbol table was left when there was no debug information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SymbolTable {
    /// `.symtab`: all functions.
    Full,
    /// `.dynsym`: only those that are exported.
    Dynamic,
    /// None: the addresses are called `module+0x…`.
    None,
}

/// Why addresses of a module have less than function, file and line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProblemKind {
    /// There is no such file (any more), and no debug file of its build id.
    Missing,
    /// The file is there and is another: its build id differs from that of what is mapped. It was not used.
    Changed {
        /// The build id of the file that is there now; empty if it has none.
        found: String,
    },
    /// The file cannot be opened or read.
    Unreadable {
        /// Which file.
        file: String,
        /// What the system said.
        error: String,
    },
    /// The file is larger than [`crate::Limits::debug_file_max`].
    TooLarge {
        /// Which file.
        file: String,
        /// How large it is.
        size: Bytes,
        /// How large it may be.
        limit: Bytes,
    },
    /// There is neither debug information in the file nor a separate debug file.
    NoDebugInfo {
        /// What took its place.
        symbols: SymbolTable,
    },
    /// A separate debug file was found that is not of this program: build id or checksum differ.
    DebugFileDiffers {
        /// Which file.
        file: String,
    },
    /// Names stand in a supplementary file (`dwz`) that is not there or is another.
    SupplementaryMissing {
        /// The file's name as the debug file has it.
        file: String,
    },
    /// The debug information stands in `.dwo` or `.dwp` files, which are not read: functions come from the
    /// symbol table, and inlined ones are missing.
    SplitDebugInfo,
    /// What the file says cannot be: it is cut off or damaged, or of a kind that is not known.
    Malformed {
        /// Which file.
        file: String,
        /// The first thing that was wrong.
        detail: String,
        /// At how many places.
        places: u64,
    },
    /// Compressed debug sections are larger than [`crate::Limits::decompressed_max`].
    DecompressedTooLarge {
        /// Which file.
        file: String,
        /// How large the sections are when unpacked, as far as was counted.
        size: Bytes,
        /// How large they may be.
        limit: Bytes,
    },
    /// [`crate::Limits::work_max`] was read before all addresses were found.
    TooMuchWork {
        /// How much may be read.
        limit: Bytes,
    },
    /// [`crate::Limits::answer_max`] was reached.
    AnswerFull {
        /// How much it is.
        limit: Bytes,
    },
    /// A bug, here or in a parser: the lookup of this module panicked and was left.
    Panicked {
        /// What the panic said.
        detail: String,
    },
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "the file is gone; install the same build or its debug file"),
            Self::Changed { found } if found.is_empty() => {
                write!(
                    f,
                    "the file was replaced by one without a build id and was not used; restart or keep the old build"
                )
            }
            Self::Changed { found } => {
                write!(
                    f,
                    "the file was replaced by build {found} and was not used; restart or keep the old build"
                )
            }
            Self::Unreadable { file, error } => write!(f, "{file} cannot be read: {error}"),
            Self::TooLarge { file, size, limit } => {
                write!(f, "{file} has {size}, and at most {limit} are opened; raise debug_file_max")
            }
            Self::NoDebugInfo { symbols: SymbolTable::Full } => {
                write!(f, "no debug information: functions without lines; build with line tables")
            }
            Self::NoDebugInfo { symbols: SymbolTable::Dynamic } => {
                write!(f, "stripped: only exported functions have names; install its debug file")
            }
            Self::NoDebugInfo { symbols: SymbolTable::None } => {
                write!(f, "stripped: no names at all; install its debug file")
            }
            Self::DebugFileDiffers { file } => {
                write!(f, "{file} belongs to another build and was not used")
            }
            Self::SupplementaryMissing { file } => {
                write!(f, "the supplementary debug file {file} is missing: some names are, too")
            }
            Self::SplitDebugInfo => {
                write!(
                    f,
                    "split debug information (.dwo) is not read: no inlined functions; build without it"
                )
            }
            Self::Malformed { file, detail, places } => {
                write!(f, "{file} is damaged or of an unknown kind ({places} places): {detail}")
            }
            Self::DecompressedTooLarge { file, size, limit } => write!(
                f,
                "the compressed debug sections of {file} unpack to {size}, and at most {limit} are; raise \
                 decompressed_max or unpack the file"
            ),
            Self::TooMuchWork { limit } => {
                write!(f, "not all was found within {limit} of reading; raise work_max")
            }
            Self::AnswerFull { limit } => {
                write!(f, "the answer holds {limit} of names and may not hold more; raise answer_max")
            }
            Self::Panicked { detail } => write!(f, "a bug: the lookup panicked: {detail}"),
        }
    }
}

/// What was missing for one module.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Problem {
    /// The module's path, as the snapshot has it.
    pub module: String,
    /// Its build id, as the snapshot has it.
    pub build_id: String,
    /// What was missing.
    pub kind: ProblemKind,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.module, self.kind)
    }
}
