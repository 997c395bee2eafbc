//! What else people hand over, and where each of them belongs.

use super::ReadError;

/// How a file begins, what it is then, and what to do.
const BEGINNINGS: [(&[u8], &str, &str); 20] = [
    (b"\x7fELF", "a program or library (ELF)", "give the profile that the program wrote"),
    (b"MZ", "a program of Windows", "give the profile that the program wrote"),
    (b"\xcf\xfa\xed\xfe", "a program of macOS", "give the profile that the program wrote"),
    (b"heap_v2/", "a heap profile of jemalloc as text", JEMALLOC),
    (b"--- symbol", "a heap profile of jemalloc with symbols", JEMALLOC),
    (
        b"heap profile:",
        "a heap profile as text (of Go with debug=1, or tcmalloc)",
        "take it without debug=1, or convert it with `go tool pprof -proto PROGRAM FILE`",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "a zstd file (heaptrack writes those)",
        "if it is heaptrack's, look at it with `heaptrack_print`; else unpack it with unzstd",
    ),
    (b"v 1", "a file of heaptrack", "look at it with `heaptrack_print`; only pprof and JSON are read here"),
    (b"desc:", "a file of massif", "look at it with `ms_print`; only pprof and JSON are read here"),
    (b"PERFILE2", "a file of perf", "it has no heap; record one with `plimsoll record`"),
    (b"<svg", "a picture (SVG)", "give the profile that it was drawn from"),
    (b"<?xml", "an XML file, perhaps a flamegraph", "give the profile that it was drawn from"),
    (b"<!DOCTYPE", "a web page", "the address answered with a page: look at what it says"),
    (b"<!doctype", "a web page", "the address answered with a page: look at what it says"),
    (b"<html", "a web page", "the address answered with a page: look at what it says"),
    (b"PK\x03\x04", "a zip file", "unpack it and give the profile in it"),
    (b"\xfd7zXZ", "an xz file", "unpack it with unxz"),
    (b"BZh", "a bzip2 file", "unpack it with bunzip2"),
    (b"go 1.", "an execution trace of Go", "take a heap profile, from /debug/pprof/heap"),
    (b"JAVA PROFILE", "a heap dump of Java", "it is for Java's own tools"),
];

/// jemalloc's text has addresses only, and nothing converts it to pprof: `go tool pprof` 1.19 refuses the text and
/// what `jeprof --raw` makes of it.
const JEMALLOC: &str = "look at it with `jeprof PROGRAM FILE`, or have the program itself write pprof (the crate \
     jemalloc_pprof does)";

/// How many bytes are looked at to tell text from data.
const LOOK: usize = 512;

/// The error for `bytes` that are known to be something else.
pub(super) fn recognised(bytes: &[u8]) -> Option<ReadError> {
    let known = BEGINNINGS.iter().find(|(beginning, _, _)| bytes.starts_with(beginning));
    if let Some(&(_, found, cure)) = known {
        return Some(ReadError::Foreign { found, cure });
    }
    let look = &bytes[..bytes.len().min(LOOK)];
    // pprof begins with the lengths and types of small messages: control characters.
    let text = look.iter().all(|&byte| matches!(byte, b'\t' | b'\n' | b'\r') || byte >= b' ' && byte != 0x7f);
    let utf8 = match std::str::from_utf8(look) {
        Ok(_) => true,
        // A character that is cut by the end of the look.
        Err(error) => error.error_len().is_none(),
    };
    (text && utf8)
        .then_some(ReadError::Foreign { found: "text", cure: "give the file itself, not a report of it" })
}
