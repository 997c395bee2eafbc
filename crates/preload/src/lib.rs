//! The profiler for programs that were not rebuilt.
