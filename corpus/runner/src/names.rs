//! Whether the name of a function that was found is the one that was expected. What is found has been through a
//! compiler: it has parameters, numbers of closures, or only its last part, where the function was inlined and the
//! debug information says no more.

/// What C compilers add to the name of a copy of a function, with a number behind it.
const COPIES: [&str; 6] = ["part", "constprop", "isra", "cold", "llvm", "lto_priv"];

/// Whether `found` is `expected`: their parts agree from the last one, as far as both have any. Parameters, closures
/// and what compilers add are left out.
pub(crate) fn agree(found: &str, expected: &str) -> bool {
    let (found, expected) = (parts(found), parts(expected));
    let common = found.len().min(expected.len());
    common > 0
        && found.iter().rev().zip(expected.iter().rev()).all(|(found, expected)| {
            // In place of the type some debug information only has the number of the `impl`.
            found == expected || found.starts_with("{impl#")
        })
}

/// Whether `found` names nothing but closures or futures: inlined, and the debug information has no more of the name.
/// Then only the line can say which it is.
pub(crate) fn is_nameless(found: &str) -> bool {
    parts(found).is_empty()
}

/// The parts of a path without what is no name.
fn parts(name: &str) -> Vec<String> {
    let name = without_arguments(&without_generics(&unwrap_qualified(name)));
    let name = name.split(" [clone").next().unwrap_or_default();
    // Python has dots between parts, and C compilers put them before what they add.
    let parts = name.split("::").flat_map(|part| part.split('.')).map(str::trim);
    parts.filter(|part| !is_added(part)).map(str::to_owned).collect()
}

/// `<a::Type<X> as b::Trait>::method` is `a::Type<X>::method`.
fn unwrap_qualified(name: &str) -> String {
    let Some(inner) = name.strip_prefix('<') else { return name.to_owned() };
    let Some(end) = closing(inner) else { return name.to_owned() };
    let rest = &inner[end + 1..];
    let mut kind = &inner[..end];
    let mut depth = 0_i32;
    for (at, letter) in kind.char_indices() {
        match letter {
            '<' => depth += 1,
            '>' => depth -= 1,
            ' ' if depth == 0 && kind[at..].starts_with(" as ") => {
                kind = &kind[..at];
                break;
            }
            _ => {}
        }
    }
    format!("{}{rest}", unwrap_qualified(kind))
}

/// Where the `>` is that closes what was opened just before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 1;
    let mut before = ' ';
    for (at, letter) in text.char_indices() {
        match letter {
            '<' => depth += 1,
            // Not that of `->`.
            '>' if before != '-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
        before = letter;
    }
    None
}

/// Leaves out `<...>` wherever it stands, with a `::` before it.
fn without_generics(name: &str) -> String {
    let mut kept = String::new();
    let mut rest = name;
    while let Some(open) = rest.find('<') {
        let Some(end) = closing(&rest[open + 1..]) else { break };
        kept += rest[..open].strip_suffix("::").unwrap_or(&rest[..open]);
        rest = &rest[open + 1 + end + 1..];
    }
    kept + rest
}

/// Leaves out `(int, char)` of C++ and what is behind it, but not `(anonymous namespace)`.
fn without_arguments(name: &str) -> String {
    let name = name.replace("(anonymous namespace)", "{anonymous}");
    let end = name.find('(').unwrap_or(name.len());
    name[..end].to_owned()
}

/// Closures, futures, the hash at the end of an old mangling, and the marks of copies that compilers make.
fn is_added(part: &str) -> bool {
    let is_hash =
        part.len() == 17 && part.starts_with('h') && part[1..].bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_copy = COPIES.contains(&part) || part.bytes().all(|byte| byte.is_ascii_digit());
    is_hash || is_copy || (part.starts_with('{') && !part.starts_with("{impl#"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_with_what_is_expected() {
        for found in [
            "leak_x::Registry::remember",
            "leak_x::Registry<K, V>::remember",
            "leak_x::Registry<T>::remember<alloc::string::String>",
            "<leak_x::Registry<K> as leak_x::Store>::remember",
            "<leak_x::Registry>::remember::{closure#0}",
            "leak_x::Registry::remember::{{closure}}::h0123456789abcdef",
            "leak_x::Registry::remember::{async_fn#0}",
            "leak_x::{impl#1}::remember<u8>",
            "remember<u8>",
            "Registry::remember(unsigned long, char const*)",
            "(anonymous namespace)::Registry::remember(int) [clone .isra.0]",
        ] {
            assert!(agree(found, "Registry::remember"), "{found}");
        }
    }

    #[test]
    fn a_closure_alone_is_nameless() {
        for found in ["{closure#0}", "{closure#0}<u8, x::f::{closure_env#0}<u8>>", "{async_fn#0}", ""] {
            assert!(is_nameless(found) && !agree(found, "f"), "{found}");
        }
        assert!(!is_nameless("f::{closure#0}"));
    }

    #[test]
    fn another_function_is_another() {
        for found in ["leak_x::Other::remember", "leak_x::Registry::remember_all", "remember_all", "", "main"]
        {
            assert!(!agree(found, "Registry::remember"), "{found}");
        }
        assert!(agree("xmalloc.constprop.0", "xmalloc") && agree("track_append", "track_append"));
        assert!(!agree("leak_x::sum", "um") && !agree("payload", "load"));
        assert!(agree("Polygon::Polygon(std::string, unsigned long)", "Polygon::Polygon"));
        assert!(agree("f<fn(u8) -> Vec<u8>>", "f"));
        assert!(
            agree("Answers.work_out.<locals>.<listcomp>", "work_out") && !agree("Answers.note", "work_out")
        );
    }
}
