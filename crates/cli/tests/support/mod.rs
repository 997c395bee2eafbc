//! What the tests of `plimsoll serve` share: the program as it is shipped on a free port of loopback, clients
//! that misbehave on purpose, and the kernel's own word on memory and sockets.
//!
//! | file | idea |
//! | --- | --- |
//! | `server` | the program as a child: started, watched, stopped, and judged by its exit code and its log |
//! | `http` | HTTP/1.1 by hand, so that a request can be wrong, cut off or slow |
//! | `stream` | event streams: chunked encoding undone, frames, offsets in their order |
//! | `load` | bytes and bodies that are the same on every run, and publishers of a steady pace |
//! | `programs` | programs that are recorded: found, compiled, run to their end |
//! | `kernel` | resident memory, open sockets, unsent bytes and kernel memory of TCP, from `/proc` |
//! | `wait` | deadlines: nothing here waits without one |
//!
//! Nothing here sleeps in place of an event; what only `/proc` knows is looked at until it is so.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod http;
pub(crate) mod kernel;
pub(crate) mod load;
pub(crate) mod programs;
pub(crate) mod server;
pub(crate) mod stream;
pub(crate) mod wait;

use std::io::Write;

/// Prints a figure past the capture of output, so that it stands in the log of a run that passed.
pub(crate) fn say(figure: &str) {
    // A closed standard error fails no test.
    let _ = writeln!(std::io::stderr(), "    {figure}");
}

/// Lets this process, and the program that it starts, have `descriptors` open.
pub(crate) fn make_room(descriptors: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < descriptors) {
        let raised = Rlimit { current: Some(descriptors), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).expect("the hard limit of descriptors is large enough");
    }
}
