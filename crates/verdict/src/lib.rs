//! Profiles as people and tools read them.
