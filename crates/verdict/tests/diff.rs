//! Comparisons: of two snapshots of one run, of two builds, of a heap with nothing.

mod kit;

use kit::{Heap, MIB, golden, random, service, text};
use plimsoll_core::Bytes;
use plimsoll_verdict::{
    Change, Diff, DiffOptions, Level, Metric, Profile, diff, over_threshold, pprof, read,
};

fn by(level: Level) -> DiffOptions {
    DiffOptions { metric: Metric::LiveBytes, level }
}

/// The service an hour later, built anew: other addresses, other folders, other lines; the cache grew, the log
/// is gone, a session table is new.
fn later() -> Heap {
    let mut heap = service();
    let moved = |address: u64| if address < 0x2000 { address + 0x10_0000 } else { address };
    heap.snapshot.addresses.iter_mut().for_each(|address| *address = moved(*address));
    heap.names.0 = std::mem::take(&mut heap.names.0)
        .into_iter()
        .map(|(address, mut frames)| {
            for frame in &mut frames {
                frame.file = frame.file.as_ref().map(|file| format!("/ci/77/{file}").into());
                frame.line = frame.line.map(|line| line + 5);
            }
            (moved(address), frames)
        })
        .collect();
    heap.snapshot.modules[0].addresses = 0x10_1000..0x10_2000;
    heap.snapshot.taken_unix_ms += 3_600_000;
    heap.snapshot.stacks[0].allocated.bytes += 30 * MIB;
    heap.snapshot.stacks[0].allocated.objects += 2000;
    heap.snapshot.stacks[0].generations[1].live_samples = 300;
    heap.snapshot.stacks[1].freed = heap.snapshot.stacks[1].allocated;
    heap.names.name(0x10_1071, &[("app::session::open", "/ci/77/src/session.rs", 9)]);
    heap.stack(&[0x10_1011, 0x10_1071, 0x10_1031], (100, 12 * MIB), (0, 0), 9);
    heap
}

fn entry<'a>(diff: &'a Diff, function: &str) -> &'a plimsoll_verdict::DiffEntry {
    let found = diff.entries.iter().find(|entry| entry.at.function == function);
    found.unwrap_or_else(|| panic!("{function} is not in {diff:#?}"))
}

#[test]
fn what_grew_is_named_also_between_builds() {
    let (before, after) = (service().profile(), later().profile());
    let diff = diff(&before, &after, &by(Level::Own));
    let names: Vec<_> = diff.entries.iter().map(|entry| entry.at.function.as_str()).collect();
    assert_eq!(names, ["app::cache::Cache::fill", "app::session::open", "app::log::Log<[u8; 4]>::append"]);

    let cache = entry(&diff, "app::cache::Cache::fill");
    assert_eq!(cache.at.file.as_deref(), Some("/ci/77/src/cache.rs"), "the later one's");
    assert_eq!(cache.at.line, Some(47));
    assert_eq!(cache.change(Metric::LiveBytes), 30 << 20);
    assert_eq!(cache.change(Metric::LiveObjects), 2000);
    assert_eq!((cache.before.live.bytes, cache.after.live.bytes), (40 * MIB, 70 * MIB));
    assert_eq!(cache.percent(Metric::LiveBytes), Some(75.0));
    assert_eq!(cache.state(Metric::LiveBytes), Change::Grown);
    // Root of the sum of squares: 40 MiB / 20 and 70 MiB / root of 700.
    let error = cache.live_bytes_error().expect("both say from how many samples");
    assert!(error.abs_diff(3_479_000) < 10_000, "{error}");

    let session = entry(&diff, "app::session::open");
    assert_eq!((session.state(Metric::LiveBytes), session.percent(Metric::LiveBytes)), (Change::New, None));
    let log = entry(&diff, "app::log::Log<[u8; 4]>::append");
    assert_eq!(log.state(Metric::LiveBytes), Change::Gone);
    assert_eq!(log.change(Metric::LiveBytes), -(8 << 20));
    assert_eq!(log.state(Metric::AllocatedBytes), Change::Same);
    assert_eq!(diff.between_ms, 3_600_000);
}

#[test]
fn levels_name_the_leaf_or_the_whole_stack() {
    let (before, after) = (service().profile(), later().profile());
    let leaf = diff(&before, &after, &by(Level::Leaf));
    assert_eq!(leaf.entries[0].at.function, "alloc::vec::Vec<T,A>::push", "not the allocator itself");
    assert!(leaf.entries[0].stack.is_empty());
    let stack = diff(&before, &after, &by(Level::Stack));
    let names: Vec<_> = stack.entries[0].stack.iter().map(|frame| frame.function.as_str()).collect();
    assert_eq!(
        names,
        [
            "<plimsoll_heap::Heap<A> as core::alloc::global::GlobalAlloc>::alloc",
            "__rust_alloc",
            "alloc::raw_vec::finish_grow",
            "alloc::vec::Vec<T,A>::push",
            "app::cache::Cache::fill",
            "app::main",
        ]
    );
    assert_eq!(stack.entries[0].at.function, "app::cache::Cache::fill");
}

#[test]
fn the_table_and_the_json_are_laid_out_as_they_were() {
    let (before, after) = (service().profile(), later().profile());
    let own = diff(&before, &after, &by(Level::Own));
    golden("diff.txt", &text(|out| own.write_text(2, out)));
    golden("diff.json", &text(|out| own.write_json(1, out)));
    let objects = DiffOptions { metric: Metric::AllocatedObjects, level: Level::Stack };
    golden("diff_stack.txt", &text(|out| diff(&before, &after, &objects).write_text(1, out)));
    let nothing = text(|out| diff(&after, &after, &by(Level::Own)).write_text(9, out));
    assert!(nothing.ends_with("\nnothing changed\n"), "{nothing}");
}

#[test]
fn over_the_threshold_is_more_than_it() {
    let diff = diff(&service().profile(), &later().profile(), &by(Level::Own));
    let over = |threshold| over_threshold(&diff, threshold).len();
    assert_eq!(over(Bytes::mib(10)), 2);
    assert_eq!(over(Bytes::mib(12)), 1, "12 MiB is not more than 12 MiB");
    assert_eq!(over(Bytes::new(12 * MIB - 1)), 2);
    assert_eq!(over(Bytes::ZERO), 2, "what shrank is not over nothing");
    assert_eq!(over(Bytes::mib(30)), 0);
    assert_eq!(over(Bytes::MAX), 0);
}

#[test]
fn a_profile_is_compared_with_what_became_of_it_in_a_file() {
    for seed in 0..200 {
        let ours = random(seed).profile();
        let mut file = Vec::new();
        pprof::write(&ours, &mut file).expect("memory takes what is written");
        let theirs = read(&file).expect("it was just written");
        // An unnamed place is named by its module's bias, which pprof does not keep.
        for level in [Level::Own, Level::Leaf, Level::Stack] {
            let diff = diff(&ours, &theirs, &by(level));
            assert_eq!((diff.before.live, diff.after.live), (ours.live(), ours.live()), "seed {seed}");
            let named = diff.entries.iter().filter(|entry| !entry.at.function.contains("+0x"));
            assert!(level == Level::Stack || named.count() == 0, "seed {seed}: {diff:#?}");
        }
    }
}

#[test]
fn changes_add_up_at_every_level() {
    for seed in 0..200 {
        let (before, after) = (random(seed).profile(), random(seed + 1000).profile());
        for level in [Level::Own, Level::Leaf, Level::Stack] {
            for metric in Metric::ALL {
                let diff = diff(&before, &after, &DiffOptions { metric, level });
                let sum: i128 = diff.entries.iter().map(|entry| i128::from(entry.change(metric))).sum();
                let expected = i128::from(diff.after.of(metric)) - i128::from(diff.before.of(metric));
                assert_eq!(sum, expected, "seed {seed}");
                let changes: Vec<i64> = diff.entries.iter().map(|entry| entry.change(metric)).collect();
                assert!(changes.is_sorted_by(|a, b| a >= b), "seed {seed}: what grew most is first");
                let written = text(|out| diff.write_json(usize::MAX, out));
                assert!(serde_json::from_str::<serde_json::Value>(&written).is_ok());
                assert!(!text(|out| diff.write_text(5, out)).is_empty());
            }
        }
    }
}

#[test]
fn nothing_compared_with_nothing_is_nothing() {
    let nothing = Heap::default().profile();
    assert_eq!(diff(&nothing, &nothing, &by(Level::Own)).entries, []);
    let all_new = diff(&nothing, &service().profile(), &by(Level::Own));
    assert!(all_new.entries.iter().all(|it| it.state(Metric::AllocatedBytes) == Change::New));
    let none: Result<Profile, _> = Profile::from_parts(Default::default());
    assert_eq!(diff(&none.expect("nothing fits together"), &nothing, &by(Level::Stack)).entries, []);
}
