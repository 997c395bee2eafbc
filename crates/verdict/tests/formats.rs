//! What each format looks like, to the byte: others parse it, and people know where to look.

mod kit;

use kit::{Heap, bytes, golden, random, service, text};
use plimsoll_verdict::flamegraph::FlamegraphOptions;
use plimsoll_verdict::text::TextOptions;
use plimsoll_verdict::{Metric, ReadLimits, WriteError, collapsed, flamegraph, json, pprof, read};

#[test]
fn the_table_is_laid_out_as_it_was() {
    let profile = service().profile().with_origin("plimsoll\ntest");
    let table = text(|out| plimsoll_verdict::text::write(&profile, &TextOptions::default(), out));
    golden("table.txt", &table);
    let options = TextOptions { metric: Metric::AllocatedObjects, callers: 2, ..TextOptions::default() };
    golden("table_allocated.txt", &text(|out| plimsoll_verdict::text::write(&profile, &options, out)));
    let table = text(|out| {
        plimsoll_verdict::text::write(&profile, &TextOptions { top: 1, ..TextOptions::default() }, out)
    });
    assert!(table.ends_with("\nand 3 more, with 9.0MiB live\n"), "{table}");
}

#[test]
fn a_table_of_nothing_says_so() {
    let table =
        text(|out| plimsoll_verdict::text::write(&Heap::default().profile(), &TextOptions::default(), out));
    assert!(table.starts_with("live       0B in 0 objects, ± - from 0 samples\n"), "{table}");
    assert!(table.contains("NOT RUNNING"), "{table}");
}

#[test]
fn collapsed_stacks_are_one_line_each() {
    let lines = text(|out| collapsed::write(&service().profile(), Metric::LiveBytes, out));
    golden("collapsed.txt", &lines);
    for seed in 0..200 {
        let profile = random(seed).profile();
        let lines = text(|out| collapsed::write(&profile, Metric::AllocatedObjects, out));
        let mut sum = 0;
        for line in lines.lines() {
            let (path, count) = line.rsplit_once(' ').expect("a line has a count");
            assert!(
                !path.is_empty() && path.split(';').all(|name| !name.is_empty()),
                "seed {seed}: {line:?}"
            );
            sum += count.parse::<u64>().expect("a count is a number");
        }
        assert_eq!(sum, profile.allocated().objects, "seed {seed}");
    }
}

#[test]
fn the_profile_file_is_as_documented() {
    let mut heap = Heap::default();
    heap.names.name(0x1001, &[("app::f", "src/a.rs", 3)]);
    heap.stack(&[0x1001, 0x2001], (2, 64), (1, 32), 1);
    heap.stack(&[], (0, 0), (0, 0), 0);
    heap.snapshot.taken_unix_ms = 5;
    let profile = heap.profile().with_origin("test");
    let file = text(|out| json::write(&profile, out));
    golden("profile.json", &file);
    assert_eq!(read(file.as_bytes()), Ok(profile));
}

#[test]
fn the_picture_is_one_file_the_same_each_time_and_names_stay_names() {
    let profile = service().profile();
    let options =
        FlamegraphOptions { title: "<script>alert(1)</script> & co".to_owned(), ..Default::default() };
    let svg = text(|out| flamegraph::write(&profile, &options, out));
    assert_eq!(
        svg,
        text(|out| flamegraph::write(&profile, &options, out)),
        "the same profile, the same file"
    );
    assert!(svg.starts_with("<?xml") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; co"), "the title is text");
    assert!(!svg.contains("<script>alert"), "the title is no script");
    assert!(svg.contains("app::log::Log&lt;[u8: 4]&gt;::append (8,388,608 bytes, 16.33%)"), "{svg}");
    assert!(svg.contains("live bytes: 49.0MiB"), "{svg}");
    // Everything is in the file: nothing is fetched.
    for fetched in ["src=", "href=\"http", "url(http", "@import", "fetch("] {
        assert!(!svg.contains(fetched), "{fetched}");
    }
}

/// inferno sorts lines as text, where `app::run::x` is between `app::run` and `app::run;…`.
#[test]
fn a_function_has_one_box_also_next_to_one_that_begins_like_it() {
    let mut heap = Heap::default();
    for (address, name) in [(1, "main"), (2, "app::run"), (3, "app::run::x"), (4, "f"), (5, "g 12")] {
        heap.names.name(address, &[(name, "", 0)]);
    }
    heap.stack(&[2, 1], (1, 100), (0, 0), 1);
    heap.stack(&[4, 3, 1], (1, 100), (0, 0), 1);
    heap.stack(&[4, 2, 1], (1, 100), (0, 0), 1);
    heap.stack(&[5, 2, 1], (1, 100), (0, 0), 1);
    let svg = text(|out| flamegraph::write(&heap.profile(), &FlamegraphOptions::default(), out));
    assert_eq!(svg.matches("<title>app::run (300 bytes, 75.00%)</title>").count(), 1, "{svg}");
    assert!(svg.contains("<title>g_12 (100 bytes, 25.00%)</title>"), "a number in a name is no count: {svg}");
}

#[test]
fn pictures_of_random_heaps_add_up() {
    for seed in 0..200 {
        let profile = random(seed).profile();
        let total = profile.live().bytes;
        let mut svg = Vec::new();
        match flamegraph::write(&profile, &FlamegraphOptions::default(), &mut svg) {
            Ok(()) => {
                let svg = String::from_utf8(svg).expect("it is text");
                assert!(svg.contains(&format!("total_samples=\"{total}\"")), "seed {seed}");
            }
            Err(error) => {
                assert!(matches!(error, WriteError::Nothing(Metric::LiveBytes)), "seed {seed}: {error}");
                assert_eq!(total, 0, "seed {seed}");
            }
        }
    }
}

#[test]
fn what_was_not_measured_is_not_drawn() {
    let mut parts = service().profile().into_parts();
    parts.header.metrics = vec![Metric::LiveBytes];
    let profile = plimsoll_verdict::Profile::from_parts(parts).expect("it was one");
    let error = collapsed::write(&profile, Metric::AllocatedBytes, Vec::new()).expect_err("it is not there");
    assert!(matches!(error, WriteError::NotMeasured { .. }), "{error}");
}

#[test]
fn every_format_is_the_same_each_time() {
    for seed in 0..50 {
        let (one, two) = (random(seed).profile(), random(seed).profile());
        assert_eq!(bytes(|out| pprof::write(&one, out)), bytes(|out| pprof::write(&two, out)));
        assert_eq!(bytes(|out| json::write(&one, out)), bytes(|out| json::write(&two, out)));
    }
}

#[test]
fn json_comes_back_identical() {
    for seed in 0..500 {
        let profile = random(seed).profile();
        let file = bytes(|out| json::write(&profile, out));
        assert_eq!(json::read(&file, &ReadLimits::default()), Ok(profile), "seed {seed}");
    }
}

#[test]
fn pprof_comes_back_with_the_same_amounts_and_names() {
    for seed in 0..500 {
        let profile = random(seed).profile();
        let file = bytes(|out| pprof::write(&profile, out));
        let back = read(&file).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(back.header().metrics, Metric::ALL);
        assert_eq!(back.header().taken_unix_ms, profile.header().taken_unix_ms);
        assert_eq!(back.header().since_start_ms, profile.header().since_start_ms);
        assert_eq!(back.header().interval, profile.header().interval);
        assert_eq!(back.stacks().len(), profile.stacks().len());
        for (back_stack, stack) in back.stacks().iter().zip(profile.stacks()) {
            assert_eq!(back_stack.allocated, stack.allocated, "seed {seed}");
            assert_eq!(back_stack.live(), stack.live(), "seed {seed}");
            assert_eq!(back_stack.truncated, stack.truncated, "seed {seed}");
            assert_eq!(back_stack.locations, stack.locations, "seed {seed}");
        }
        assert_eq!(back.locations(), profile.locations(), "seed {seed}");
        let names = |profile: &plimsoll_verdict::Profile| -> Vec<_> {
            profile.functions().iter().map(|it| (it.name.clone(), it.file.clone())).collect()
        };
        assert_eq!(names(&back), names(&profile), "seed {seed}");
        // And written again it is the same file.
        assert_eq!(bytes(|out| pprof::write(&back, out)), file, "seed {seed}");
    }
}

/// JSON has no word for it, and `null` could not be read again.
#[test]
fn a_rate_that_is_not_finite_stays_readable() {
    for rate in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut parts = service().profile().into_parts();
        let status = parts.header.status.as_mut().expect("it has one");
        status.samples_per_s = rate;
        let profile = plimsoll_verdict::Profile::from_parts(parts).expect("it was one");
        let file = bytes(|out| json::write(&profile, out));
        let back = json::read(&file, &ReadLimits::default()).expect("what was written is read");
        assert_eq!(back.header().status.as_ref().map(|status| status.samples_per_s), Some(0.0));
    }
}
