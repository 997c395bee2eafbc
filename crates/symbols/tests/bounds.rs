//! That every limit holds and is said: the cache, the answer, the work; and that an answer is the same
//! whether it comes from the cache or from the files.

mod kit;

use std::fs;

use kit::{BIAS, Place, ask, assert_complete, kinds, limits, names, short};
use plimsoll_core::heap::{HeapSnapshot, Module, Names};
use plimsoll_core::{Bytes, Observe};
use plimsoll_symbols::{Limits, ProblemKind, Symbolizer};

fn used(symbolizer: &Symbolizer) -> (u64, u64) {
    let mut readings = Vec::new();
    symbolizer.observe(&mut readings);
    assert!(readings.iter().all(|reading| reading.used <= reading.limit && reading.used <= reading.peak));
    (readings[0].used, readings[1].used)
}

fn counter(symbolizer: &Symbolizer, name: &str) -> u64 {
    let mut readings = Vec::new();
    symbolizer.observe(&mut readings);
    let counters = readings.iter().flat_map(|reading| &reading.counters);
    counters.filter(|counter| counter.name == name).map(|counter| counter.value).sum()
}

#[test]
fn a_second_answer_needs_no_file() {
    let place = Place::new("cached");
    let program = place.program("shop", &[]);
    program.change("strip", &["--strip-debug"]);
    let module = program.module();
    let mut symbolizer = Symbolizer::new(limits(&place.path("none")));
    let snapshot = HeapSnapshot {
        addresses: program.all().into_iter().chain(program.all()).collect(),
        modules: vec![module],
        ..HeapSnapshot::default()
    };
    let first = symbolizer.resolve(&snapshot);
    assert_eq!(first.len(), program.addresses.len());
    fs::remove_file(&program.path).expect("it is ours");
    let second = symbolizer.resolve(&snapshot);
    assert_eq!(first, second);
    assert_eq!(second.problems.len(), 1, "what was missing is said again: {:?}", second.problems);
    let all = program.addresses.len() as u64;
    assert_eq!((counter(&symbolizer, "asked"), counter(&symbolizer, "looked_up")), (2 * all, all));
    assert_eq!(used(&symbolizer).0, all);
    symbolizer.forget();
    assert_eq!(used(&symbolizer), (0, 0));
    assert_eq!(kinds(&symbolizer.resolve(&snapshot)), [&ProblemKind::Missing]);
}

#[test]
fn names_are_shared_and_outlive_the_cache() {
    let place = Place::new("shared");
    let program = place.program("shop", &[]);
    let mut symbolizer = Symbolizer::new(limits(&place.path("none")));
    let modules = [program.module()];
    let first = symbolizer.resolve_addresses(&modules, &[program.address("till")]);
    let second = symbolizer.resolve_addresses(&modules, &[program.address("shelf")]);
    let file = |resolved: &plimsoll_symbols::Resolved, place| {
        resolved.at(program.address(place))[0].file.clone().expect("there are lines")
    };
    assert!(std::sync::Arc::ptr_eq(&file(&first, "till"), &file(&second, "shelf")));
    drop(symbolizer);
    assert_eq!(&*first.at(program.address("till"))[0].function, "shop::till(int)");
}

#[test]
fn the_cache_holds_its_limits_and_the_answer_is_complete_all_the_same() {
    let place = Place::new("evicting");
    let program = place.program("shop", &[]);
    let small = |addresses_max, cache_max| Limits {
        addresses_max,
        cache_max: Bytes::new(cache_max),
        ..limits(&place.path("none"))
    };
    for (addresses_max, cache_max) in
        [(0, 1 << 20), (1, 1 << 20), (3, 1 << 20), (100, 0), (100, 1), (100, 1_500)]
    {
        let mut symbolizer = Symbolizer::new(small(addresses_max, cache_max));
        for _ in 0..3 {
            let resolved = symbolizer.resolve_addresses(&[program.module()], &program.all());
            assert_complete(&resolved, &program);
            let (addresses, bytes) = used(&symbolizer);
            assert!(addresses <= addresses_max as u64 && bytes <= cache_max, "{addresses} {bytes}");
        }
    }
}

#[test]
fn an_answer_without_room_is_said_and_not_remembered() {
    let place = Place::new("answer");
    let program = place.program("shop", &[]);
    for answer_max in [0, 1, 700] {
        let limits = Limits { answer_max: Bytes::new(answer_max), ..limits(&place.path("none")) };
        let mut symbolizer = Symbolizer::new(limits);
        let resolved = symbolizer.resolve_addresses(&[program.module()], &program.all());
        assert_eq!(kinds(&resolved), [&ProblemKind::AnswerFull { limit: Bytes::new(answer_max) }]);
        assert_eq!(resolved.len(), program.addresses.len());
        assert!(resolved.iter().all(|(_, frames)| !frames.is_empty()));
        assert_eq!(used(&symbolizer).0, 0);
    }
    let mut symbolizer =
        Symbolizer::new(Limits { answer_max: Bytes::new(1_000), ..limits(&place.path("none")) });
    for (at, _) in &program.addresses {
        let resolved = symbolizer.resolve_addresses(&[program.module()], &[program.address(at)]);
        assert_eq!(resolved.problems, [], "{at}");
    }
}

#[test]
fn work_has_an_end() {
    let place = Place::new("work");
    let program = place.program("shop", &[]);
    let mut complete = 0;
    for work_max in [0, 1, 100, 1_000, 3_000, 10_000, 30_000, 100_000, 1 << 30] {
        let resolved =
            ask(&program, Limits { work_max: Bytes::new(work_max), ..limits(&place.path("none")) });
        assert!(resolved.iter().all(|(_, frames)| !frames.is_empty()));
        if resolved.problems.is_empty() {
            assert_complete(&resolved, &program);
            complete += 1;
        } else {
            let limit = Bytes::new(work_max);
            assert!(
                kinds(&resolved).contains(&&ProblemKind::TooMuchWork { limit }),
                "{:?}",
                resolved.problems
            );
        }
    }
    assert!((1..9).contains(&complete), "{complete} were complete");
}

#[test]
fn addresses_of_nothing() {
    let place = Place::new("nothing");
    let program = place.program("shop", &[]);
    let vdso = Module {
        path: "[vdso]".to_owned(),
        build_id: String::new(),
        addresses: 0x7000..0x8000,
        file_offset: 0,
        bias: 0x7000,
    };
    let modules = [vdso, program.module()];
    let mut symbolizer = Symbolizer::new(limits(&place.path("none")));
    let end = BIAS + 0x1000_0000;
    let resolved = symbolizer.resolve_addresses(&modules, &[0, 1, 0x7123, 0x8000, 0x8001, end, u64::MAX]);
    let name = |address| short(resolved.at(address))[0].0.clone();
    assert_eq!((name(0), name(1), name(u64::MAX)), ("0x0".into(), "0x1".into(), "0xffffffffffffffff".into()));
    // A return address may be the first after its module: the call was the last in it.
    assert_eq!(
        (name(0x7123), name(0x8000), name(0x8001)),
        ("[vdso]+0x123".into(), "[vdso]+0x1000".into(), "0x8001".into())
    );
    assert_eq!(name(end), "shop+0x10000000");
    assert_eq!(resolved.problems, []);
    assert!(resolved.at(42).is_empty());
    assert_eq!(symbolizer.resolve_addresses(&[], &[]).len(), 0);
}

#[test]
fn many_modules_tell_only_so_many_problems() {
    let place = Place::new("many");
    let modules: Vec<Module> = (0..100_u64)
        .map(|number| Module {
            path: place.path(&format!("{number}.so")).to_string_lossy().into_owned(),
            build_id: String::new(),
            addresses: number * 100..number * 100 + 100,
            file_offset: 0,
            bias: number * 100,
        })
        .collect();
    let addresses: Vec<u64> = (1..=10_000).collect();
    let mut symbolizer = Symbolizer::new(limits(&place.path("none")));
    let resolved = symbolizer.resolve_addresses(&modules, &addresses);
    assert_eq!((resolved.problems.len(), resolved.problems_left_off), (64, 36));
    assert_eq!(
        resolved,
        Symbolizer::new(limits(&place.path("none"))).resolve_addresses(&modules, &addresses)
    );
}

#[test]
fn one_file_in_two_pieces_is_looked_up_once() {
    let place = Place::new("pieces");
    let program = place.program("shop", &[]);
    let whole = program.module();
    let middle = program.address("till") - 1;
    let mut pieces = [whole.clone(), whole];
    pieces[0].addresses.end = middle;
    pieces[1].addresses.start = middle;
    let mut symbolizer = Symbolizer::new(limits(&place.path("none")));
    let resolved = symbolizer.resolve_addresses(&pieces, &program.all());
    assert_complete(&resolved, &program);
    assert_eq!(names(&resolved, &program, "till").len(), 1);
}
