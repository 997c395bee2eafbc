//! The heap, seen.
