//! What must hold. Nothing else in this program knows a limit.

/// Of the programs that were said to leak, so many do.
pub(crate) const PRECISION_MIN: f64 = 0.97;
/// Of the programs that leak, so many were said to.
pub(crate) const RECALL_MIN: f64 = 0.97;
/// Of the leaks that were found, so many were blamed on the right function before any other.
pub(crate) const FUNCTION_FIRST_MIN: f64 = 0.95;
