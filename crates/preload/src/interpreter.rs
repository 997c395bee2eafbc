//! Puts Python's functions into the stacks of a program that is an interpreter of Python.
//!
//! What is called here is inside `malloc`: see `python` for what it may do.

use std::sync::OnceLock;

use plimsoll_heap::malloc::{self, DEPTH_MAX, Name, WithNames};

use crate::python::{self, Description, PyFrame, Python, merge};

static PYTHON: OnceLock<Python> = OnceLock::new();

/// Looks for an interpreter among what is loaded. One of a version that is not known, which the recorder tells, or one that
/// is loaded later, has stacks as any other program.
pub(crate) fn start() {
    match python::find() {
        Ok(Some(found)) if PYTHON.set(found).is_ok() => malloc::set_interpreter(add_functions),
        Ok(_) => {}
        Err(unsupported) => malloc::set_note(unsupported.why()),
    }
}

fn add_functions(native: &[u64], out: &mut [u64; DEPTH_MAX]) -> WithNames {
    let Some(python) = PYTHON.get() else { return WithNames::default() };
    let mut frames = [PyFrame::DEFAULT; DEPTH_MAX];
    let depth = python.walk(&mut frames);
    if depth == 0 {
        return WithNames::default();
    }
    let mut numbered = [(0, false); DEPTH_MAX];
    for (frame, numbered) in frames[..depth].iter().zip(&mut numbered) {
        // Without a number, which a mark never has, the interpreter's own frame stays in its place.
        let address = if frame.is_mark() { None } else { address_of(python, frame) };
        *numbered = (address.unwrap_or(0), frame.is_entry());
    }
    let merged = merge(|address| python.is_eval(address), native, &numbered[..depth], out);
    WithNames { depth: merged.depth, truncated: merged.truncated || depth == DEPTH_MAX }
}

fn address_of(python: &Python, frame: &PyFrame) -> Option<u64> {
    let mut description = Description::new();
    malloc::address_of(frame.identity(), || {
        python.describe(frame, &mut description);
        Some(Name {
            function: description.function.as_str(),
            file: description.file.as_str(),
            line: description.line,
        })
    })
}
