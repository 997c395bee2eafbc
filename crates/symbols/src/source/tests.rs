//! Which line is in which function: sources with the answer beside each line, every file of this workspace as a whole
//! parser reads it, and files that nobody would write.

use std::fs;
use std::path::Path;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::outline::{Outline, Wanted};
use super::{Half, is_source};

/// Checks each line that ends in `//= path`: a closure that stood there would be in that function. `-` is none.
fn check(text: &str) {
    let outline = Outline::of(text).unwrap_or_else(|| panic!("it can be read:\n{text}"));
    let mut lines = 0;
    for (index, line) in text.lines().enumerate() {
        let Some((_, expected)) = line.split_once("//= ") else { continue };
        let found = outline.find(index as u32 + 1, Wanted::Body);
        assert_eq!(found.as_deref().unwrap_or("-"), expected, "line {} of:\n{text}", index + 1);
        lines += 1;
    }
    assert!(lines > 0, "nothing was checked");
}

#[test]
fn methods_are_called_by_their_type() {
    check(
        "
use std::fmt; //= -
#[derive(Debug)]
struct Import<T> { rows: Vec<T> } //= -

impl<T> Import<T> { //= -
    /// Reads `{`. //= -
    #[inline] //= Import::read_batch
    pub(crate) async unsafe fn read_batch(&mut self) -> usize { //= Import::read_batch
        self.rows.push(|| { 1 }); //= Import::read_batch
    } //= Import::read_batch
    //= -
    const fn new() -> Self { //= Import::new
        Self { rows: Vec::new() } //= Import::new
    }
}
impl<'a, T: Into<Vec<u8>>, const N: usize> fmt::Display for crate::shop::Import<'a, [T; N]>
where
    T: for<'b> Fn(&'b u8) -> u8 + Send,
    [(); { N + 1 }]: Sized,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result //= Import::fmt
    where
        T: fmt::Display, //= Import::fmt
    {
        f.write_str(\"}\") //= Import::fmt
    }
}
fn outside<const N: usize, T>(a: [u8; { N * 2 }], b: Wrap<{ N }>) -> impl Fn(u8) -> Wrap<{ N + 1 }> //= outside
where
    Wrap<{ N < 3 }>: Sized,
{
    move |x| b //= outside
}
fn r#try() {
    go() //= try
}
",
    );
}

#[test]
fn what_has_no_type_of_its_own_is_called_by_its_trait() {
    check(
        "
impl<T: Store + ?Sized> Store for &mut T {
    fn put(&self) { go() } //= Store::put
}
impl<T> a::Store<u8> for T where T: Other {
    fn put(&self) { go() } //= Store::put
}
impl Store for [u8] {
    fn put(&self) { go() } //= Store::put
}
impl Store for (u8, u16) {
    fn put(&self) { go() } //= Store::put
}
impl<A> Store for fn(A) -> Reply {
    fn put(&self) { go() } //= Store::put
}
impl<A> Store for for<'a> fn(&'a A) {
    fn put(&self) { go() } //= Store::put
}
impl Store for &'static mut Shelf {
    fn put(&self) { go() } //= Shelf::put
}
impl Store for *const Shelf {
    fn put(&self) { go() } //= Shelf::put
}
impl Store for dyn a::Rack<u8> + Send {
    fn put(&self) { go() } //= Rack::put
}
unsafe impl !Send for Shelf {}
impl dyn Rack + '_ {
    fn put(&self) { go() } //= Rack::put
}
pub unsafe trait Rack<T = Vec<u8>>: Send + Sync where T: Fn() -> u8 {
    const NAMES: fn() = || { go() }; //= Rack::NAMES
    fn first(&self); //= -
    fn second(&self) -> u8 { //= Rack::second
        go() //= Rack::second
    }
}
",
    );
}

#[test]
fn bodies_are_those_of_the_innermost_function() {
    check(
        "
mod shop { //= -
    pub mod shelf {
        impl super::Shelf {
            fn fill(&self) {
                let all = rows.iter().map(|row| { //= shop::shelf::Shelf::fill
                    row.map(|cell| cell + 1) //= shop::shelf::Shelf::fill
                });
                async move {
                    wait(async || { 1 }).await //= shop::shelf::Shelf::fill
                };
                fn inner(f: fn(u8) -> u8) -> u8 { //= shop::shelf::Shelf::fill::inner
                    f(1) //= shop::shelf::Shelf::fill::inner
                }
                struct Guard;
                impl Drop for Guard {
                    fn drop(&mut self) {
                        go() //= shop::shelf::Shelf::fill::Guard::drop
                    }
                }
                let name: fn(u8) = inner; //= shop::shelf::Shelf::fill
                if a < b { c >> d } else { unsafe { e } } //= shop::shelf::Shelf::fill
            }
        }
    }
    fn beside() { go() } //= shop::beside
}
mod elsewhere;
fn last() { go() } //= last
",
    );
}

#[test]
fn initialisers_have_closures_too() {
    check(
        "
static ROWS: LazyLock<Vec<u8>> = LazyLock::new(|| { //= ROWS
    vec![1] //= ROWS
});
pub(crate) const MAKE: [fn() -> u8; 2] = [|| 1, //= MAKE
    || 2]; //= MAKE
const PLAIN: usize = 1 << 3; //= -
static mut COUNT: u8 = 0; //= -
const _: () = {
    impl Store for Shelf {
        fn put() { go() } //= Shelf::put
    }
};
impl Shelf {
    const MAKE: fn() -> u8 = || { //= Shelf::MAKE
        1 //= Shelf::MAKE
    };
}
fn f<const N: usize>(a: *const u8) { //= f
    static ONCE: OnceLock<u8> = OnceLock::new(); //= f
    static LATER: LazyLock<u8> = LazyLock::new(|| 1); //= f::LATER
    let b = a as *const u8; //= f
    const { go() }; //= f
}
thread_local! {
    static MINE: RefCell<Vec<u8>> = RefCell::new({ (|| { //= MINE
        vec![2] //= MINE
    })() }) //= MINE
}
lazy_static! {
    static ref OLD: Vec<u8> = rows(|| 1); //= OLD
}
",
    );
}

#[test]
fn what_macros_are_given() {
    check(
        "
#![allow(dead_code)]
#[tokio::main] //= main
async fn main() {
    tokio::select! { //= main
        _ = a() => { fn hidden() { go() } } //= main
        row = b() => rows.push(row), //= main
    }
    let v = vec![1; { 2 }]; //= main
    if !(a) { fn shown() { //= main::shown
        go() //= main::shown
    } }
    macro_rules! local { ($x:expr) => { fn f() { $x } } } //= main
}
macro_rules! all {
    ($($t:ty),*) => { $( impl Store for $t {
        fn put(&self) { go() } //= -
    } )* };
}
all!(u8, u16); //= -
cfg_if::cfg_if! {
    if #[cfg(unix)] {
        fn os() { go() } //= os
    } else {
        fn os() { //= os
            go() //= os
        }
    }
}
proptest!(
    #[test] //= holds
    fn holds(x in 0..3_u8) { check(x) } //= holds
);
#[cfg(a)]
fn twice() { go() } //= twice
#[cfg(not(a))]
mod other { fn twice() { go() } } //= other::twice
",
    );
}

#[test]
fn functions_on_one_line_are_told_apart_by_name() {
    let text = "fn a() { fn b() {} } fn c() {} fn c() {}\nfn d() {\n} fn e() {\n}\nmod m { fn f() {} }\n";
    let outline = Outline::of(text).expect("it can be read");
    let function = |line, name| outline.find(line, Wanted::Function(name));
    assert_eq!(function(1, "a").as_deref(), Some("a"));
    assert_eq!(function(1, "b").as_deref(), Some("a::b"));
    assert_eq!(function(1, "c"), None, "two of that name");
    assert_eq!(outline.find(1, Wanted::Body), None);
    assert_eq!(function(3, "d").as_deref(), Some("d"));
    assert_eq!(function(3, "e").as_deref(), Some("e"));
    assert_eq!(function(3, "a"), None);
    assert_eq!(outline.find(3, Wanted::Body), None);
    assert_eq!(outline.find(2, Wanted::Body).as_deref(), Some("d"));
    assert_eq!(outline.find(5, Wanted::Body).as_deref(), Some("m::f"));
    for line in [0, 6, u32::MAX] {
        assert_eq!(outline.find(line, Wanted::Body), None);
    }
}

#[test]
fn half_a_name_becomes_a_whole_one() {
    let text = "
impl Import {
    fn read(&self) {}
    async fn send(&self) {
    }
}
fn alone() {}
mod test { fn read() {} }
fn test() {
}
static ROWS: T = T::new(|| 1);
";
    let outline = Outline::of(text).expect("it can be read");
    for (function, line, expected) in [
        ("read", 3, Some("Import::read")),
        ("read<u8, a::B<C>>", 3, Some("Import::read<u8, a::B<C>>")),
        ("reads", 3, None),
        ("read", 4, None),
        ("{closure#0}", 3, Some("Import::read::{closure#0}")),
        ("{closure#12}<u8>", 3, Some("Import::read::{closure#12}<u8>")),
        ("{async_fn#0}", 4, Some("Import::send::{async_fn#0}")),
        ("{async_block#1}", 3, Some("Import::read::{async_block#1}")),
        ("{async_closure#0}", 4, Some("Import::send::{async_closure#0}")),
        // Lines that are no longer those of the program's.
        ("{async_fn#0}", 3, None),
        ("{closure#0}", 2, None),
        ("{closure#0}", 100, None),
        // Nothing to add.
        ("alone", 7, None),
        ("{closure#0}", 7, Some("alone::{closure#0}")),
        ("a::read", 3, None),
        ("<a::B as C>::read", 3, None),
        ("read::{closure#0}", 3, None),
        ("{impl#0}", 3, None),
        ("{{closure}}", 3, None),
        ("{closure", 3, None),
        ("", 3, None),
        ("app+0x12", 3, None),
        // What would be taken for the language's.
        ("read", 8, None),
        ("{closure#0}", 8, Some("read::{closure#0}")),
        ("{closure#0}", 9, None),
        ("{closure#0}", 11, Some("ROWS::{closure#0}")),
        ("{async_fn#0}", 11, None),
        ("ROWS", 11, None),
    ] {
        let whole = Half::of(function).and_then(|half| half.whole(&outline, line));
        assert_eq!(whole.as_deref(), expected, "{function} on line {line}");
    }
}

#[test]
fn libraries_are_left_alone() {
    for (path, expected) in [
        ("/opt/app/src/main.rs", true),
        ("/opt/app/library/src/main.rs", true),
        ("src/main.rs", false),
        ("library/core/src/iter.rs", false),
        ("/opt/app/src/main.c", false),
        ("/opt/app/src/main.RS", false),
        ("/rustc/59807616e1fa/library/core/src/iter.rs", false),
        ("/opt/toolchain/lib/rustlib/src/rust/library/core/src/iter.rs", false),
        ("/opt/cargo/registry/src/index-1/bytes-1.0/src/lib.rs", false),
        ("/opt/cargo/git/checkouts/bytes-1/1/src/lib.rs", false),
        ("/opt/app/vendor/bytes/src/lib.rs", false),
    ] {
        assert_eq!(is_source(path), expected, "{path}");
    }
}

#[test]
fn what_is_too_much_or_makes_no_sense_is_refused() {
    let nested = |depth: usize| format!("fn f() {}{}", "{".repeat(depth), "}".repeat(depth));
    assert!(Outline::of(&nested(256)).is_some());
    assert!(Outline::of(&nested(257)).is_none());
    assert!(Outline::of(&"[".repeat(2 << 20)).is_none());
    let many = |count: usize| "fn f(){}".repeat(count);
    assert!(Outline::of(&many(16 << 10)).is_some());
    assert!(Outline::of(&many((16 << 10) + 1)).is_none());
    let long = |length: usize| format!("fn {}() {{}}", "f".repeat(length));
    assert!(Outline::of(&long(256 << 10)).is_some());
    assert!(Outline::of(&long((256 << 10) + 1)).is_none());
    for text in ["fn f() {", "fn f() }", "fn f() { ( }", "fn f() { \" }", "fn f() {} /*", "}"] {
        assert!(Outline::of(text).is_none(), "{text}");
    }
    for text in [
        "",
        "fn",
        "fn f",
        "impl",
        "impl<",
        "mod m",
        "static X:",
        "r",
        "!{}",
        "fn f(;)",
        "impl{}",
        "const X: |",
    ] {
        assert!(Outline::of(text).is_some(), "{text}");
    }
    // Values in values, each without an end.
    assert!(Outline::of(&"static X: |".repeat(10_000)).is_none());
}

/// Text that was cut and changed anywhere: an answer or none, and never a panic.
#[test]
fn no_text_is_too_broken() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % most
    };
    let text = include_str!("outline.rs").as_bytes();
    let pieces: [&[u8]; 14] = [
        b"{",
        b"}",
        b"<",
        b">",
        b"(",
        b")",
        b"\"",
        b"'",
        b"/*",
        b"static X:",
        b"impl ",
        b"fn ",
        b";",
        b"r#\"",
    ];
    let mut read = 0;
    for _ in 0..2_000 {
        let begin = random(text.len());
        let mut part = text[begin..(begin + random(4_000)).min(text.len())].to_vec();
        for _ in 0..random(4) {
            let at = random(part.len() + 1);
            part.splice(at..at, pieces[random(pieces.len())].iter().copied());
        }
        if let Some(outline) = Outline::of(&String::from_utf8_lossy(&part)) {
            read += 1;
            for line in 0..100 {
                let _path = outline.find(line, Wanted::Body);
            }
        }
    }
    assert!(read > 20, "{read}");
}

/// Every source file of the workspace: on each line of a function, the outline names the one that the parser does.
#[test]
fn a_parser_says_the_same_of_every_file_here() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..")];
    let (mut files, mut functions) = (0, 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the workspace can be read") {
            let path = entry.expect("the workspace can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                functions += compare(&path);
                files += 1;
            }
        }
    }
    assert!(files > 100 && functions > 1_000, "{files} files, {functions} functions");
}

/// Compares what both say of one file, and returns how many functions it has.
fn compare(path: &Path) -> usize {
    let text = fs::read_to_string(path).expect("a source is text");
    let file = syn::parse_file(&text).expect("the workspace compiles");
    let outline = Outline::of(&text).unwrap_or_else(|| panic!("{} can be read", path.display()));
    let mut parsed = Parsed::default();
    parsed.visit_file(&file);
    for (index, function) in parsed.functions.iter().enumerate() {
        let others: Vec<_> = parsed.functions[index + 1..].iter().chain(&parsed.values).collect();
        let bare = function.path.rsplit("::").next().unwrap_or_default();
        for line in function.begin..=function.end {
            if !others.iter().any(|other| (other.first..=other.end).contains(&line)) {
                let found = outline.find(line, Wanted::Function(bare));
                assert_eq!(found.as_ref(), Some(&function.path), "{}:{line}", path.display());
            }
        }
    }
    parsed.functions.len()
}

/// What the parser says of a function or a value.
struct Item {
    path: String,
    /// The line of its first attribute or comment.
    first: u32,
    begin: u32,
    end: u32,
}

/// Inner functions come after those that they stand in.
#[derive(Default)]
struct Parsed {
    around: Vec<String>,
    functions: Vec<Item>,
    values: Vec<Item>,
}

impl Parsed {
    fn function(&mut self, whole: Span, signature: &syn::Signature, visit: impl FnOnce(&mut Self)) {
        let name = signature.ident.to_string();
        self.within(Some(name.trim_start_matches("r#").to_owned()), |this| {
            let (first, end) = (whole.start().line as u32, whole.end().line as u32);
            let begin = signature.fn_token.span().start().line as u32;
            this.functions.push(Item { path: this.around.join("::"), first, begin, end });
            visit(this);
        });
    }

    fn value(&mut self, whole: Span, name: &syn::Ident, visit: impl FnOnce(&mut Self)) {
        let (first, end) = (whole.start().line as u32, whole.end().line as u32);
        self.values.push(Item { path: String::new(), first, begin: first, end });
        self.within(Some(name.to_string()).filter(|name| name != "_"), visit);
    }

    fn within(&mut self, name: Option<String>, visit: impl FnOnce(&mut Self)) {
        let depth = self.around.len();
        self.around.extend(name);
        visit(self);
        self.around.truncate(depth);
    }
}

/// The last name of a type's path, if it has one.
fn last_name(of: &syn::Type) -> Option<String> {
    match of {
        syn::Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
        syn::Type::Reference(inner) => last_name(&inner.elem),
        syn::Type::Ptr(inner) => last_name(&inner.elem),
        syn::Type::TraitObject(object) => object.bounds.iter().find_map(|bound| match bound {
            syn::TypeParamBound::Trait(bound) => {
                bound.path.segments.last().map(|last| last.ident.to_string())
            }
            _ => None,
        }),
        _ => None,
    }
}

impl<'ast> Visit<'ast> for Parsed {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(item.span(), &item.sig, |this| visit::visit_item_fn(this, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(item.span(), &item.sig, |this| visit::visit_impl_item_fn(this, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if item.default.is_some() {
            self.function(item.span(), &item.sig, |this| visit::visit_trait_item_fn(this, item));
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.within(Some(item.ident.to_string()), |this| visit::visit_item_mod(this, item));
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.within(Some(item.ident.to_string()), |this| visit::visit_item_trait(this, item));
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let parameters: Vec<String> =
            item.generics.type_params().map(|parameter| parameter.ident.to_string()).collect();
        let of_trait = || item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
        let name = last_name(&item.self_ty).filter(|name| !parameters.contains(name));
        let name = name.or_else(|| of_trait().map(|last| last.ident.to_string()));
        self.within(name, |this| visit::visit_item_impl(this, item));
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.value(item.span(), &item.ident, |this| visit::visit_item_const(this, item));
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.value(item.span(), &item.ident, |this| visit::visit_item_static(this, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.value(item.span(), &item.ident, |this| visit::visit_impl_item_const(this, item));
    }

    fn visit_trait_item_const(&mut self, item: &'ast syn::TraitItemConst) {
        self.value(item.span(), &item.ident, |this| visit::visit_trait_item_const(this, item));
    }
}
