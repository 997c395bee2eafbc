//! The whole way, from an allocation in a running service to what its owner reads: our own comparison, `go tool
//! pprof` and a browser each have to name the four planted leaks, by function and line, and nothing healthy.
//! Needs `go` (Debian: golang-go) and `chromium`. Without them the tests fail and say so.

mod support;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;

use plimsoll::Bytes;
use plimsoll::verdict::{DiffOptions, Profile, diff, over_threshold, read};
use support::programs::Workshop;
use support::service::{LEAKS, Service};

const MIB: u64 = 1 << 20;

/// Leaves out the frames of the language's library, through which a program asks the allocator.
const NOT_OURS: &str = r"-hide=^<?&?(\w+ as )?(alloc|core|std)::";

/// A profile of the service at work, and one after 12 MiB went into each leak (the log's block is 16 MiB: it doubles).
fn before_and_after(service: &Service) -> [Vec<u8>; 2] {
    // Twice: the first profile makes the symbolizer's own tables.
    service.work();
    service.get("/debug/pprof/heap");
    let before = service.get("/debug/pprof/heap");
    service.leak(768);
    service.work();
    [before, service.get("/debug/pprof/heap")]
}

fn parsed(profile: &[u8]) -> Profile {
    read(profile).unwrap_or_else(|error| panic!("{error}"))
}

/// The four functions with their places, and no other, are what grew by more than 10 MiB.
fn check_growth(before: &[u8], after: &[u8]) {
    let compared = diff(&parsed(before), &parsed(after), &DiffOptions::default());
    let mut table = Vec::new();
    compared.write_text(8, &mut table).expect("a Vec takes everything");
    let table = String::from_utf8_lossy(&table);
    let grown = over_threshold(&compared, Bytes::mib(10));
    assert_eq!(grown.len(), LEAKS.len(), "{table}");
    for leak in &LEAKS {
        let entry = grown.iter().find(|entry| entry.at.function == leak.function);
        let at = &entry.unwrap_or_else(|| panic!("no {}:\n{table}", leak.function)).at;
        assert!(at.file.as_ref().is_some_and(|file| file.ends_with(&leak.file())), "{at:?}");
        assert_eq!(at.line, Some(leak.line()), "{at:?}");
    }
}

/// Proves D1.
#[test]
fn the_comparison_names_the_four_lines() {
    let service = Service::start("every");
    let [before, after] = before_and_after(&service);
    check_growth(&before, &after);
    // Every allocation was seen: nothing healthy grew at all, to a few kilobytes.
    let compared = diff(&parsed(&before), &parsed(&after), &DiffOptions::default());
    let healthy = |function: &str| LEAKS.iter().all(|leak| leak.function != function);
    for entry in compared.entries.iter().filter(|entry| healthy(&entry.at.function)) {
        let grown = entry.change(plimsoll::verdict::Metric::LiveBytes);
        assert!(grown < MIB as i64 / 2, "{entry:?}");
    }
}

/// As dense as it would be in production: the leaks are estimated from some hundred samples each, so that 32 MiB are
/// over 10 MiB by more than ten standard errors.
///
/// Proves D1.
#[test]
fn a_sample_of_the_allocations_names_them_too() {
    let service = Service::start("64KiB");
    service.work();
    let before = service.get("/debug/pprof/heap");
    service.leak(2048);
    service.work();
    check_growth(&before, &service.get("/debug/pprof/heap"));
}

/// A line of pprof's table: flat and cumulated MiB, and the place with its function.
fn rows(table: &str) -> Vec<(f64, f64, &str)> {
    let begin = table.find("cum%\n").unwrap_or_else(|| panic!("no table: {table}")) + "cum%\n".len();
    table[begin..]
        .lines()
        .map(|line| {
            let mut rest = line;
            let mut word = || {
                let (word, behind) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
                rest = behind;
                word
            };
            let (flat, _, _, cum, _) = (word(), word(), word(), word(), word());
            let mib = |text: &str| text.trim_end_matches("MB").parse().unwrap_or(0.0);
            (mib(flat), mib(cum), rest.trim_start())
        })
        .collect()
}

#[test]
fn go_names_the_four_lines() {
    let service = Service::start("every");
    let workshop = Workshop::new("go");
    let [before, after] = before_and_after(&service);
    let after = workshop.write("after.pb.gz", &after);
    let base = format!("-diff_base={}", workshop.write("before.pb.gz", &before));

    // Each of the lines holds what went into it, with all that the library did below it.
    let table = workshop.pprof(&["-top", "-lines", "-cum", "-unit=MB", "-nodecount=1000", &after]);
    for leak in &LEAKS {
        let found = rows(&table)
            .into_iter()
            .find(|(_, _, at)| at.starts_with(&format!("{} ", leak.function)) && at.contains(&leak.place()));
        let (_, cum, at) = found.unwrap_or_else(|| panic!("no {} {}:\n{table}", leak.function, leak.place()));
        assert!((12.0..=17.0).contains(&cum), "{cum} MiB at {at}");
    }
    // Without the library's frames these lines come first, and nothing is near them.
    for what in [&["-top", "-lines"][..], &["-top", "-lines", &base]] {
        let args = [what, &["-unit=MB", "-nodecount=1000", NOT_OURS, &after]].concat();
        let table = workshop.pprof(&args);
        let rows = rows(&table);
        let first: BTreeSet<&str> =
            rows.iter().take(4).map(|(_, _, at)| at.split(' ').next().unwrap_or(at)).collect();
        assert_eq!(first, LEAKS.iter().map(|leak| leak.function).collect(), "{table}");
        for (flat, _, at) in rows.iter().take(4) {
            assert!((12.0..=17.0).contains(flat), "{flat} MiB at {at}");
            assert!(LEAKS.iter().any(|leak| at.contains(&leak.place())), "{at}");
        }
        assert!(rows.iter().skip(4).all(|(flat, _, _)| *flat < 1.0), "{table}");
    }
}

/// The texts of the boxes in a picture, without the empty ones. The drawing cuts long ones at their end; its script
/// writes all of them anew at load, as they fit the window, and cuts them at their beginning.
fn box_texts(svg: &str) -> Vec<&str> {
    let boxes = svg.find("<svg id=\"frames\"").unwrap_or_else(|| panic!("no boxes in {svg}"));
    let texts = svg[boxes..].split("<text ").skip(1);
    texts
        .filter_map(|text| text.split_once('>')?.1.split_once("</text>"))
        .map(|(text, _)| text.trim())
        .filter(|text| !text.is_empty())
        .collect()
}

#[test]
fn a_browser_shows_the_flamegraph() {
    let service = Service::start("every");
    let workshop = Workshop::new("browser");
    service.work();
    service.leak(768);
    let path = "/debug/flamegraph.svg";
    let drawn = String::from_utf8(service.get(path)).expect("an SVG is UTF-8");
    let by_script = |svg: &str| box_texts(svg).iter().filter(|text| text.starts_with("..")).count();
    assert_eq!(by_script(&drawn), 0, "a browser's part is done already");

    let shown = workshop.browse("--dump-dom", &service.url(path));
    for leak in &LEAKS {
        assert!(shown.contains(leak.function), "no {} in {shown}", leak.function);
    }
    assert!(by_script(&shown) > 10, "the script did not run: {:?}", box_texts(&shown));

    let picture = workshop.path("shown.png");
    workshop.browse(&format!("--screenshot={}", picture.display()), &service.url(path));
    let colours = colours(File::open(picture).expect("the browser wrote a picture"));
    assert!(colours > 50, "{colours} colours: nothing is drawn");
}

/// How many different colours are in a picture.
fn colours(picture: File) -> usize {
    let mut reader = png::Decoder::new(BufReader::new(picture)).read_info().expect("it is a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("it is as large as the window")];
    let info = reader.next_frame(&mut pixels).expect("it is whole");
    let bytes = info.color_type.samples();
    pixels[..info.buffer_size()].chunks_exact(bytes).collect::<BTreeSet<_>>().len()
}
