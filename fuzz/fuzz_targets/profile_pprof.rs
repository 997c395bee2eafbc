//! A pprof file from a stranger, plain or in gzip: a profile that can be written, drawn and compared, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_core::Bytes;
use plimsoll_verdict::flamegraph::FlamegraphOptions;
use plimsoll_verdict::text::TextOptions;
use plimsoll_verdict::{
    DiffOptions, Level, Metric, ReadLimits, collapsed, diff, flamegraph, pprof, read_with, text,
};

fuzz_target!(|bytes: &[u8]| {
    let limits = ReadLimits { decompressed_max: Bytes::mib(8), ..ReadLimits::default() };
    // What begins like another file is refused by its beginning; pprof itself is asked as well.
    for profile in [read_with(bytes, &limits), pprof::read(bytes, &limits)] {
        let profile = match profile {
            Ok(profile) => profile,
            Err(error) => {
                assert!(error.to_string().len() < 1000, "what a stranger wrote is echoed cut");
                continue;
            }
        };
        let mut file = Vec::new();
        pprof::write(&profile, &mut file).expect("memory takes what is written");
        let again =
            pprof::read(&file, &ReadLimits::default()).expect("what was read is written so that it reads");
        for (one, two) in again.stacks().iter().zip(profile.stacks()) {
            assert_eq!(
                (one.allocated, one.live(), &one.locations),
                (two.allocated, two.live(), &two.locations)
            );
        }
        let mut table = Vec::new();
        text::write(&profile, &TextOptions::default(), &mut table).expect("memory takes what is written");
        let table = String::from_utf8(table).expect("it is text");
        assert!(!table.contains(|c: char| c.is_control() && c != '\n'), "nothing types into a terminal");
        for metric in Metric::ALL {
            let _ = collapsed::write(&profile, metric, std::io::sink());
            let options = FlamegraphOptions { metric, ..FlamegraphOptions::default() };
            let _ = flamegraph::write(&profile, &options, std::io::sink());
        }
        for level in [Level::Own, Level::Leaf, Level::Stack] {
            let same = diff(&profile, &profile, &DiffOptions { metric: Metric::LiveBytes, level });
            assert!(same.entries.is_empty(), "nothing changed");
        }
    }
});
