//! What the tests of the example share: the service as a child, a folder for what other programs write, and these
//! programs: Debian's Go and Chromium. A program that is missing fails the test in one line.

pub(crate) mod programs;
pub(crate) mod service;
