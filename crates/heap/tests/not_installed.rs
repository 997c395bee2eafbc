//! A program whose allocations do not pass the profiler: the commonest failure of profilers is to say nothing about that,
//! and to show an empty heap for ever.
#![cfg(not(miri))]

use std::error::Error;

use plimsoll_heap::{Profiler, Settings, StartError};

#[test]
fn without_the_allocator_the_profiler_says_what_to_declare() {
    let error = Profiler::start(Settings::default()).expect_err("nothing is installed here");
    assert!(matches!(error, StartError::NotInstalled));
    assert!(error.source().is_none());
    let text = error.to_string();
    assert!(text.contains("#[global_allocator]") && text.contains("Heap::system()"), "{text}");
    assert!(Profiler::running().is_none());
    // Asked again, the answer is the same: nothing was half started.
    assert!(matches!(Profiler::start(Settings::default()), Err(StartError::NotInstalled)));
}
