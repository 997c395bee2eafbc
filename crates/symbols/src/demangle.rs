//! Names as people write them. Both demanglers can be made to write megabytes from a short symbol (each part
//! may stand for others, and these for others still), so they write into a bounded text that refuses.

use std::fmt::{self, Write};

use cpp_demangle::{DemangleOptions, ParseOptions, Symbol};

use crate::limits::FUNCTION_NAME_MAX;

/// How deep a C++ name may be nested: what fits on the stack of a small thread.
const NESTING_MAX: u32 = 96;

/// Text that ends with `…` where it became too long.
struct Bounded {
    text: String,
    max: usize,
    full: bool,
}

impl Bounded {
    fn new(max: usize) -> Self {
        Self { text: String::new(), max, full: false }
    }
}

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if self.full {
            return Err(fmt::Error);
        }
        if self.text.len() + more.len() <= self.max {
            self.text.push_str(more);
            return Ok(());
        }
        // The mark needs its place too, which may be taken by what came before.
        let end = self.max.saturating_sub('…'.len_utf8());
        let room = end.saturating_sub(self.text.len());
        self.text.push_str(&more[..more.floor_char_boundary(room)]);
        self.text.truncate(self.text.floor_char_boundary(end));
        self.text.push('…');
        self.full = true;
        Err(fmt::Error)
    }
}

/// The readable form of a symbol: Rust's without its hash, C++'s with its parameters, others as they are.
/// At most 4 KiB long. Allocates that.
pub(crate) fn demangle(symbol: &str) -> String {
    // Versions (`memcpy@@GLIBC_2.14`) are the linker's.
    let symbol =
        symbol.split_once('@').map_or(symbol, |(name, _)| if name.is_empty() { symbol } else { name });
    let mut bounded = Bounded::new(FUNCTION_NAME_MAX);
    if let Ok(name) = rustc_demangle::try_demangle(symbol) {
        // An error is a name that was cut, and the text has what came before.
        let _cut = write!(bounded, "{name:#}");
        if !bounded.text.is_empty() {
            return bounded.text;
        }
    }
    if symbol.starts_with("_Z") || symbol.starts_with("__Z") {
        let options = ParseOptions::default().recursion_limit(NESTING_MAX);
        if let Ok(name) = Symbol::new_with_options(symbol, &options) {
            let options = DemangleOptions::new().recursion_limit(NESTING_MAX);
            let complete = name.structured_demangle(&mut bounded, &options).is_ok();
            if complete || bounded.full {
                return bounded.text;
            }
        }
    }
    cut(symbol, FUNCTION_NAME_MAX)
}

/// The whole name of a function of which the debug information knows only its `plain` one: the path of the
/// readable `symbol`, and from `plain` the type parameters, which older Rust symbols do not have. Nothing if
/// the two are not the same function, as when a linker folded several into one.
pub(crate) fn qualified(symbol: &str, plain: &str) -> Option<String> {
    let last = &symbol[last_part(symbol)..];
    let closures = last.starts_with('{') && plain.starts_with('{');
    if last.len() == symbol.len() || !(closures || bare(last) == bare(plain)) {
        return None;
    }
    let parameters = plain.find('<').map_or("", |at| &plain[at..]);
    let has_some = last.contains('<') || last.contains('(');
    Some(if has_some { symbol.to_owned() } else { cut(&format!("{symbol}{parameters}"), FUNCTION_NAME_MAX) })
}

/// A function's name without what may follow it.
fn bare(name: &str) -> &str {
    let end = name.char_indices().skip(1).find(|(_, one)| matches!(one, '<' | '{' | '(' | ' '));
    name[..end.map_or(name.len(), |(at, _)| at)].trim_end_matches("::")
}

/// Where the last part of a path begins: behind the last `::` that is not inside brackets.
pub(crate) fn last_part(path: &str) -> usize {
    let bytes = path.as_bytes();
    let (mut depth, mut begin) = (0_i32, 0);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'<' | b'(' | b'[' => depth += 1,
            b'>' if at > 0 && bytes[at - 1] == b'-' => {}
            b'>' | b')' | b']' => depth -= 1,
            // `::<` opens the parameters of the part before it.
            b':' if depth == 0 && path[at..].starts_with("::") && !path[at..].starts_with("::<") => {
                begin = at + 2;
            }
            _ => {}
        }
    }
    begin
}

/// `text`, at most `max` bytes of it.
pub(crate) fn cut(text: &str, max: usize) -> String {
    let mut bounded = Bounded::new(max);
    let _cut = bounded.write_str(text);
    bounded.text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readable() {
        for (symbol, name) in [
            ("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"),
            ("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE.llvm.123", "core::fmt::Formatter::pad"),
            ("_RNvCs15kBYyAo9fc_7mycrate7example", "mycrate::example"),
            ("_RINvNtC3std3mem8align_ofdE", "std::mem::align_of::<f64>"),
            ("_ZN3foo3barEi", "foo::bar(int)"),
            ("_ZN4shop5ShelfISsLi20EE4fillEv", "shop::Shelf<std::string, 20>::fill()"),
            ("_ZN3foo3barEi.cold", "foo::bar(int) [clone .cold]"),
            ("memcpy@@GLIBC_2.14", "memcpy"),
            ("main", "main"),
            ("_Z", "_Z"),
            ("", ""),
        ] {
            assert_eq!(demangle(symbol), name, "{symbol}");
        }
    }

    #[test]
    fn a_plain_name_gets_the_path_of_its_symbol() {
        for (symbol, plain, whole) in [
            ("tokio::task::raw::poll", "poll<a::B, c::D>", Some("tokio::task::raw::poll<a::B, c::D>")),
            ("<a::B as c::D>::drop", "drop", Some("<a::B as c::D>::drop")),
            ("<fn(u8) -> a::B as c::D>::drop", "drop<u8>", Some("<fn(u8) -> a::B as c::D>::drop<u8>")),
            ("a::b::{{closure}}", "{async_fn#0}<u8>", Some("a::b::{{closure}}<u8>")),
            ("a::b::call_once{{vtable.shim}}", "call_once<u8>", Some("a::b::call_once{{vtable.shim}}<u8>")),
            ("core::ptr::drop_in_place<a::B>", "drop_in_place<a::B>", Some("core::ptr::drop_in_place<a::B>")),
            ("a::align_of::<f64>", "align_of<f64>", Some("a::align_of::<f64>")),
            ("foo::bar(int)", "bar", Some("foo::bar(int)")),
            ("a::b::folded", "other<u8>", None),
            ("main", "main", None),
            ("_blake3", "blake3", None),
            ("", "", None),
            (">>::x", "x", None),
        ] {
            assert_eq!(qualified(symbol, plain).as_deref(), whole, "{symbol} {plain}");
        }
    }

    #[test]
    fn a_name_that_stands_for_megabytes_is_cut() {
        // Each further pair is two of the one before.
        let mut symbol = "_Z1fSt4pairIiiE".to_owned();
        let mut last = String::from("S0_");
        for number in 1..40 {
            symbol.push_str(&format!("St4pairI{last}{last}E"));
            last =
                format!("S{}_", char::from_digit(number, 36).map_or('Z', |digit| digit.to_ascii_uppercase()));
        }
        let name = demangle(&symbol);
        assert!(name.len() <= FUNCTION_NAME_MAX, "{} bytes", name.len());
        let long = "x".repeat(FUNCTION_NAME_MAX + 1);
        let name = demangle(&long);
        assert!(name.ends_with('…') && name.len() <= FUNCTION_NAME_MAX);
        assert_eq!(cut("äöü", 5), "ä…");
        assert_eq!(cut("äöü", 6), "äöü");
    }
}
