//! Every bound of symbolizing in one place. Debug files are many times as large as the service that reads
//! them, and are written by others; without these, naming a few addresses costs more than the leak it explains.

use std::path::PathBuf;

use plimsoll_core::Bytes;

/// How many bytes of one file are in memory at a time, in pages: see [`PAGE`].
pub(crate) const WINDOW: usize = 96 * PAGE;
/// How much is read from a file at once, in bytes. Larger pages read more that nobody asked for.
pub(crate) const PAGE: usize = 16 << 10;
/// The longest name of a function that is kept, in bytes; what is longer ends in `…`.
pub(crate) const FUNCTION_NAME_MAX: usize = 4 << 10;
/// The longest path of a source file that is kept, in bytes.
pub(crate) const FILE_NAME_MAX: usize = 4 << 10;
/// How many functions inlined into one another are followed at one address.
pub(crate) const INLINED_MAX: usize = 128;
/// How many problems one answer tells; the others are counted.
pub(crate) const PROBLEMS_MAX: usize = 64;
/// How many problems of one module are told.
pub(crate) const MODULE_PROBLEMS_MAX: usize = 8;
/// How many modules the cache knows before it starts anew.
pub(crate) const MODULES_MAX: usize = 4_096;
/// How many bytes a source file may have; what people write has a tenth of that.
pub(crate) const SOURCE_FILE_MAX: u64 = 2 << 20;
/// How many source files' outlines are kept, and how many bytes these may have together. What is beyond is read again.
pub(crate) const SOURCES_MAX: usize = 64;
pub(crate) const SOURCES_BYTES_MAX: u64 = 2 << 20;

/// Whether source files are read for names that the debug information has only half of: see [`Limits::sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sources {
    /// They are not.
    #[default]
    Ignored,
    /// Those are that are where the debug information says, and not younger than the program's file. It says where in
    /// the words of whoever wrote it, so any file whose name ends in `.rs` may be opened.
    AtHand,
}

/// What symbolizing may take.
///
/// At its worst a [`crate::Symbolizer`] has `cache_max` at rest. While it resolves it has, in addition,
/// `answer_max` for what it hands out, `decompressed_max`, three files of 1.5 MiB in pages, and some hundred
/// bytes for each address that was asked for. For a file that was made to be dear, add 40 MiB for tables that
/// the DWARF reader builds of one unit. With [`Sources::AtHand`] add 2 MiB at rest, and 3 MiB while it reads one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many addresses the cache keeps. Default 16,384, more than a service has call sites; 0 keeps none.
    pub addresses_max: usize,
    /// How many bytes the cache keeps, names and tables together. Default 8 MiB, some 10,000
    /// addresses of a Rust program; 0 keeps none.
    pub cache_max: Bytes,
    /// How many bytes one answer may have that the cache has not, names and frames together. What comes after is
    /// called `module+0x…` and said. Default 16 MiB.
    pub answer_max: Bytes,
    /// A file larger than this is not opened, and said. Files are read in pages, so a larger one costs time,
    /// not memory. Default 4 GiB.
    pub debug_file_max: Bytes,
    /// How many bytes the compressed debug sections of one module may have when they are unpacked, as these
    /// cannot be read in pages. Beyond it the symbol tables must do, and it is said. Default 16 MiB.
    pub decompressed_max: Bytes,
    /// How many bytes may be read for one module in one call, counted with repetition. Bounds the time that a
    /// corrupt or hostile file can take; a byte is some nanoseconds. Default 2 GiB.
    pub work_max: Bytes,
    /// Where separate debug files are looked for, as `<root>/.build-id/ab/cdef.debug` and `<root>/<directory
    /// of the file>/<debuglink>`. Default `/usr/lib/debug`.
    pub debug_roots: Vec<PathBuf>,
    /// Whether Rust's inlined functions get their paths from source files where the debug information has none, as with
    /// `debug = "line-tables-only"`. What is read counts into `work_max`. Default [`Sources::Ignored`]: a service does
    /// not go through other people's sources.
    pub sources: Sources,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            addresses_max: 16_384,
            cache_max: Bytes::mib(8),
            answer_max: Bytes::mib(16),
            debug_file_max: Bytes::gib(4),
            decompressed_max: Bytes::mib(16),
            work_max: Bytes::gib(2),
            debug_roots: vec![PathBuf::from("/usr/lib/debug")],
            sources: Sources::Ignored,
        }
    }
}
