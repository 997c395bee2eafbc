//! The library that stands in front of malloc, as bytes: the recorder unpacks it beside its socket.

/// The shared object, as the build script made it. Empty where there is none (see there): then nothing can be recorded.
pub(crate) const LIBRARY: &[u8] = include_bytes!(env!("PRELOAD_LIBRARY_FILE"));
