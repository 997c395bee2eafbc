//! What the function is called that a reader should look at.
//!
//! Closures and async bodies count as the function that they stand in, and arguments are left out: neither is what one
//! searches for in an editor. Of an inlined function bare line tables keep its last name only, and of an inlined closure
//! nothing but `{closure#0}`; but the library's functions that call it are generic over it, and their names have its path.

use crate::library::{Owner, is_python};
use crate::profile::Frame;

/// The function's path for a frame, which is the first of `frames`, leaf first.
pub(super) fn function_of(frames: &[&Frame<'_>]) -> String {
    let Some(own) = frames.first() else { return String::new() };
    if own.file.is_some_and(is_python) {
        return of_python(&own.function).to_owned();
    }
    let folded = folded(&own.function);
    if !is_nameless(folded) {
        return without_arguments(folded).to_owned();
    }
    let number = number(folded);
    // Up to the next body without a name, for what is said behind that is said of that.
    let callers = frames[1..]
        .iter()
        .take_while(|frame| !is_nameless(self::folded(&frame.function)) || is_standard(frame));
    let by_caller = callers.take(CALLERS_MAX).find_map(|caller| mention(&caller.function, number));
    if let Some(path) = by_caller {
        return path;
    }
    // Most closures are called by the function that they stand in; the body of an async function never is.
    let around = frames[1..].iter().filter(|_| !folded.starts_with("{async")).find(|frame| {
        frame.file.is_some() && frame.file == own.file && !is_nameless(self::folded(&frame.function))
    });
    match around {
        Some(frame) => without_arguments(self::folded(&frame.function)).to_owned(),
        None => own.function.to_string(),
    }
}

/// `Answers.work_out.<locals>.<lambda>` is `Answers.work_out`; a module's own line stays `<module>`.
fn of_python(function: &str) -> &str {
    let folded = function.split(".<").next().unwrap_or(function);
    if folded.is_empty() { function } else { folded }
}

fn is_standard(frame: &Frame<'_>) -> bool {
    matches!(frame.owner, Owner::Standard | Owner::Allocator)
}

/// So many callers are asked for the path of a closure: adapters of iterators stand in one another.
const CALLERS_MAX: usize = 12;
/// Crates whose closures are not the program's.
const STANDARD: [&str; 4] = ["core::", "alloc::", "std::", "hashbrown::"];

/// A function's path up to the first closure or async body in it: `app::run::{closure#0}` is `app::run`.
pub(super) fn folded(function: &str) -> &str {
    let mut depth = 0_usize;
    for (at, c) in function.char_indices() {
        match c {
            '{' if depth == 0 && at > 2 && function[..at].ends_with("::") && is_body(&function[at..]) => {
                return &function[..at - 2];
            }
            _ => depth = deeper(depth, function, at, c),
        }
    }
    function
}

fn is_body(rest: &str) -> bool {
    ["{closure", "{{closure", "{async_", "{gen_"].iter().any(|begin| rest.starts_with(begin))
}

/// Whether a name is only that of a closure or an async body.
fn is_nameless(function: &str) -> bool {
    is_body(function)
}

/// The number in `{closure#3}`.
fn number(function: &str) -> Option<&str> {
    let rest = &function[function.find('#')? + 1..];
    rest.split('}').next()
}

/// The path of the function around the first closure with this number that a generic function's name mentions:
/// `map<usize, app::rows::read::{closure_env#0}>` has `app::rows::read`.
fn mention(function: &str, number: Option<&str>) -> Option<String> {
    let number = number?;
    let mut rest = function;
    while let Some(at) = rest.find("_env#") {
        let (before, after) = (&rest[..at], &rest[at + "_env#".len()..]);
        rest = after;
        let begin = before.rfind([' ', '<', ',', '&', '(', '*']).map_or(0, |at| at + 1);
        let path = folded(&before[begin..]);
        let is_ours = after.split('}').next() == Some(number)
            && path.contains("::")
            && !path.ends_with("::")
            && !STANDARD.iter().any(|name| path.starts_with(name));
        if is_ours {
            // The number of an `impl` is nothing that a reader knows, and neither is what stands before it then.
            let known = path.rfind("{impl#").and_then(|at| path[at..].split_once("::")).map(|(_, rest)| rest);
            return Some(known.unwrap_or(path).to_owned());
        }
    }
    None
}

/// A path without the arguments and the generic parameters at its end: `chat::enter(int)` is `chat::enter`, and
/// `intern<str>` is `intern`.
fn without_arguments(function: &str) -> &str {
    // What is made of symbols has no other name.
    if function.contains("operator") {
        return function;
    }
    let mut depth = 0_usize;
    let mut end = function.len();
    for (at, c) in function.char_indices() {
        let is_outermost = depth == 0;
        depth = deeper(depth, function, at, c);
        let begins = is_outermost && at > 0 && matches!(c, '<' | '(');
        if begins && !function[at..].starts_with("(anonymous") && is_last(function, at) {
            end = at;
            break;
        }
    }
    function[..end].trim_end_matches("::").trim_end()
}

/// Whether the bracket that opens at `at` ends the path: `Vec<T>::push` goes on behind it.
fn is_last(function: &str, at: usize) -> bool {
    let mut depth = 0_usize;
    for (offset, c) in function[at..].char_indices() {
        depth = deeper(depth, function, at + offset, c);
        if depth == 0 {
            return !function[at + offset + c.len_utf8()..].contains("::");
        }
    }
    true
}

fn deeper(depth: usize, text: &str, at: usize, c: char) -> usize {
    match c {
        '<' | '(' | '[' => depth + 1,
        // The arrow of a function's type closes nothing.
        '>' if text[..at].ends_with('-') => depth,
        '>' | ')' | ']' => depth.saturating_sub(1),
        _ => depth,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn closures_are_folded_into_their_function() {
        for (function, expected) in [
            ("app::run::{closure#0}", "app::run"),
            ("app::run::{{closure}}::inner", "app::run"),
            ("app::serve::{async_block#1}::{closure#0}", "app::serve"),
            ("<app::A as app::B<app::c::{closure#0}>>::go", "<app::A as app::B<app::c::{closure#0}>>::go"),
            ("app::{impl#0}::go", "app::{impl#0}::go"),
            ("main", "main"),
            ("{closure#0}", "{closure#0}"),
        ] {
            assert_eq!(folded(function), expected);
        }
    }

    #[test]
    fn arguments_are_left_out() {
        for (function, expected) in [
            ("chat::enter(std::shared_ptr<chat::Room> const&, unsigned long)", "chat::enter"),
            ("intern<str>", "intern"),
            ("app::intern::<str>", "app::intern"),
            ("std::vector<int>::push_back(int&&)", "std::vector<int>::push_back"),
            ("<app::A as app::B<C>>::go", "<app::A as app::B<C>>::go"),
            ("(anonymous namespace)::leak(int)", "(anonymous namespace)::leak"),
            ("Box::operator()(int)", "Box::operator()(int)"),
            ("app::go", "app::go"),
            ("f<fn(A) -> B>", "f"),
            ("", ""),
            ("<", "<"),
        ] {
            assert_eq!(without_arguments(function), expected);
        }
    }

    fn frame<'a>(function: &'a str, file: &'a str) -> Frame<'a> {
        Frame { function: Cow::Borrowed(function), file: Some(file), line: Some(1), owner: Owner::Program }
    }

    #[test]
    fn what_is_defined_within_a_function_of_python_counts_as_that() {
        for (function, expected) in [
            ("Answers.work_out.<locals>.<dictcomp>", "Answers.work_out"),
            ("Request.__init__", "Request.__init__"),
            ("<module>", "<module>"),
            ("<lambda>", "<lambda>"),
        ] {
            assert_eq!(function_of(&[&frame(function, "/app/worker.py")]), expected);
        }
    }

    #[test]
    fn an_inlined_closure_is_named_by_who_is_generic_over_it() {
        let own = frame("{closure#0}", "src/main.rs");
        let caller = frame(
            "fold<usize, (), core::iter::map_fold::{closure_env#0}<usize, app::{impl#0}::read::{closure_env#0}>>",
            "library/core/src/iter.rs",
        );
        let around = frame("read_all", "src/main.rs");
        assert_eq!(function_of(&[&own, &caller, &around]), "read");
        assert_eq!(function_of(&[&own, &around]), "read_all");
        assert_eq!(function_of(&[&own]), "{closure#0}");
        let other = frame("map<app::go::{closure_env#1}>", "library/core/src/iter.rs");
        assert_eq!(function_of(&[&own, &other]), "{closure#0}", "of another closure");
        let future = frame("{async_fn#0}", "src/main.rs");
        let poll = frame("poll<app::upload::{async_fn_env#0}, x>", "tokio/src/task.rs");
        assert_eq!(function_of(&[&future, &poll]), "app::upload");
        let outer = frame("{async_fn#0}", "src/client.rs");
        assert_eq!(
            function_of(&[&future, &outer, &poll, &around]),
            "{async_fn#0}",
            "that is said of the outer one"
        );
    }
}
