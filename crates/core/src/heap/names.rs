//! What an address is called.

use std::sync::Arc;

/// One function at one place: inlined ones have their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CodeFrame {
    /// The function's name, readable (demangled, without a hash); `0x…` if nobody knows.
    pub function: Arc<str>,
    /// The source file as the compiler wrote it.
    pub file: Option<Arc<str>>,
    /// The line in it, from 1.
    pub line: Option<u32>,
}

/// Somebody who knows what addresses are called.
pub trait Names {
    /// The functions at a return address of the snapshot, the innermost inlined one first. Never empty
    /// unless nothing at all is known of it.
    fn at(&self, address: u64) -> &[CodeFrame];
}
