//! Files that others wrote, read in pages under a count of work. Nothing here maps a file: a mapped file that
//! somebody cuts short kills the process that reads it, and its pages count as the reader's memory.

mod elf;
mod inflate;
mod slice;
mod source;
mod table;
mod work;

pub(crate) use elf::{Elf, Refused};
pub(crate) use inflate::Room;
pub(crate) use slice::Slice;
pub(crate) use source::Source;
pub(crate) use table::find_symbols;
pub(crate) use work::{Trouble, Work};
