//! What bare line tables leave of inlined functions, and what the program's source makes of it: with it, without it, and
//! with one that is not the one.

mod kit;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kit::Place;
use plimsoll_core::Observe;
use plimsoll_core::heap::Module;
use plimsoll_symbols::{Limits, Resolved, Sources, Symbolizer};

/// Allocates in a method, a closure and an async function, all of them inlined.
const SOURCE: &str = r#"
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub struct Import { rows: Vec<Vec<u8>> }

impl Import {
    #[inline(always)]
    fn read_batch(&mut self, size: usize) {
        self.rows.push(black_box(vec![1; size]));
    }

    #[inline(always)]
    async fn send(&mut self, size: usize) -> usize {
        self.rows.push(black_box(vec![2; size]));
        self.rows.len()
    }
}

mod shelf {
    pub(crate) trait Count {
        fn count(&self, sizes: &[usize]) -> usize;
    }
    impl Count for super::Import {
        #[inline(always)]
        fn count(&self, sizes: &[usize]) -> usize {
            sizes.iter().map(|&size| {
                let row = super::black_box(vec![3_u8; size]);
                row.len()
            }).sum()
        }
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
}

fn main() {
    let mut import = Import { rows: Vec::new() };
    let size = black_box(7);
    import.read_batch(size);
    let sent = wait(async {
        let held = black_box(vec![4; size]);
        import.send(held.len()).await
    });
    let counted = shelf::Count::count(&import, &[size, sent]);
    std::process::exit(i32::from(counted != 9));
}
"#;

struct Built {
    // Removes its files when it goes.
    _place: Place,
    source: PathBuf,
    module: Module,
    /// Every address of the program's own functions.
    addresses: Vec<u64>,
}

fn build(name: &str) -> Built {
    let place = Place::new(name);
    let source = place.path("import.rs");
    fs::write(&source, SOURCE).expect("the place is ours to write");
    let path = place.path("import");
    let (into, from) = (path.to_string_lossy(), source.to_string_lossy());
    kit::run("rustc", &["--edition=2024", "-O", "-Cdebuginfo=line-tables-only", "-o", &into, &from]);
    kit::run(&into, &[]);
    let symbols = kit::run("nm", &["-S", &into]);
    let number = |word: &str| u64::from_str_radix(word, 16).expect("nm writes hexadecimal");
    let mut addresses = Vec::new();
    for line in symbols.lines().filter(|line| line.contains("6import") || line.contains("6Import")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [begin, size, "t" | "T", _] = words[..] {
            let begin = kit::BIAS + number(begin);
            addresses.extend(begin + 1..=begin + number(size));
        }
    }
    assert!(addresses.len() > 100, "the program has functions:\n{symbols}");
    let module = kit::module_of(&path, &kit::build_id(&path));
    Built { _place: place, source, module, addresses }
}

impl Built {
    fn ask(&self, symbolizer: &mut Symbolizer) -> Resolved {
        symbolizer.resolve_addresses(std::slice::from_ref(&self.module), &self.addresses)
    }

    /// All functions that stand in the source.
    fn functions(&self, sources: Sources) -> BTreeSet<String> {
        functions(&self.ask(&mut symbolizer(sources)))
    }

    /// Writes the source anew, as if it had been so when the program was built.
    fn rewrite(&self, text: impl AsRef<[u8]>) {
        let program = fs::metadata(&self.module.path).and_then(|file| file.modified());
        fs::write(&self.source, text).expect("the place is ours to write");
        self.date(program.expect("Linux knows it"));
    }

    fn date(&self, time: SystemTime) {
        let file = File::options().write(true).open(&self.source).expect("the place is ours to write");
        file.set_modified(time).expect("the place is ours to write");
    }
}

fn symbolizer(sources: Sources) -> Symbolizer {
    Symbolizer::new(Limits { sources, ..kit::limits(Path::new("/nonexistent")) })
}

fn functions(resolved: &Resolved) -> BTreeSet<String> {
    assert_eq!(resolved.problems, []);
    let frames = resolved.iter().flat_map(|(_, frames)| frames);
    let own = frames.filter(|frame| frame.file.as_ref().is_some_and(|file| file.ends_with("/import.rs")));
    own.map(|frame| frame.function.to_string()).collect()
}

#[test]
fn a_source_that_is_at_hand_gives_inlined_functions_their_paths() {
    let built = build("at-hand");
    let halves = ["read_batch", "{async_fn#0}", "{closure#0}", "{async_block#0}", "count"];
    let bare = built.functions(Sources::Ignored);
    for half in halves {
        assert!(bare.contains(half), "this compiler writes half names: {bare:?}");
    }
    let whole = built.functions(Sources::AtHand);
    for name in [
        "Import::read_batch",
        "Import::send::{async_fn#0}",
        "shelf::Import::count",
        "shelf::Import::count::{closure#0}",
        "main::{async_block#0}",
    ] {
        assert!(whole.contains(name), "{name} is one of {whole:?}");
    }
    for half in halves {
        assert!(!whole.contains(half), "{half} is none of {whole:?}");
    }
    assert_eq!(bare.len(), whole.len(), "{bare:?} {whole:?}");
}

#[test]
fn a_source_that_cannot_be_relied_on_is_not_used() {
    let built = build("unreliable");
    let bare = built.functions(Sources::Ignored);
    let whole = built.functions(Sources::AtHand);
    assert_ne!(bare, whole);
    let ask = || built.functions(Sources::AtHand);

    let program = fs::metadata(&built.module.path).and_then(|file| file.modified()).expect("Linux knows it");
    built.date(program + Duration::from_secs(1));
    assert_eq!(ask(), bare, "younger than the program");
    built.date(program);
    assert_eq!(ask(), whole, "as old as the program");

    built.rewrite(format!("{SOURCE}// {}", "x".repeat(2 << 20)));
    assert_eq!(ask(), bare, "too large");
    built.rewrite([SOURCE.as_bytes(), b"// \xff"].concat());
    assert_eq!(ask(), bare, "not text");
    built.rewrite(format!("{SOURCE}const X: () = {}{};", "{".repeat(300), "}".repeat(300)));
    assert_eq!(ask(), bare, "nested too deep");
    built.rewrite(format!("{SOURCE}}}"));
    assert_eq!(ask(), bare, "brackets that do not match");
    built.rewrite("\n".repeat(1_000));
    assert_eq!(ask(), bare, "no functions");

    fs::remove_file(&built.source).expect("it is ours");
    assert_eq!(ask(), bare, "gone");
    kit::run("mkfifo", &[&built.source.to_string_lossy()]);
    assert_eq!(ask(), bare, "a pipe that nobody writes to");
}

#[test]
fn files_are_read_once_and_counted() {
    let built = build("counted");
    let mut symbolizer = symbolizer(Sources::AtHand);
    let counters = |symbolizer: &Symbolizer| {
        let mut readings = Vec::new();
        symbolizer.observe(&mut readings);
        let sources = readings.into_iter().find(|reading| reading.name == "symbols.sources")?;
        let value =
            |name| sources.counters.iter().find(|counter| counter.name == name).map(|counter| counter.value);
        assert!(sources.used <= sources.peak && sources.peak <= sources.limit);
        Some((sources.used, value("files")?, value("read")?, value("named")?))
    };
    assert_eq!(counters(&symbolizer), Some((0, 0, 0, 0)));
    let (first, rest) = built.addresses.split_at(built.addresses.len() / 2);
    let mut before = 0;
    for part in [first, rest] {
        symbolizer.resolve_addresses(std::slice::from_ref(&built.module), part);
        let (used, files, read, named) = counters(&symbolizer).expect("sources are read");
        assert!(used > 0 && named > before, "{used} bytes, {named} named");
        assert_eq!((files, read), (1, 1));
        assert!(symbolizer.cached_bytes() > used);
        before = named;
    }
    symbolizer.forget();
    assert_eq!((symbolizer.cached_bytes(), counters(&symbolizer)), (0, Some((0, 0, 1, before))));
    built.rewrite(SOURCE);
    assert_ne!(built.ask(&mut symbolizer), Resolved::default());
    assert_eq!(counters(&symbolizer).map(|(_, files, read, _)| (files, read)), Some((1, 2)));
    assert_eq!(counters(&self::symbolizer(Sources::Ignored)), None);
}
