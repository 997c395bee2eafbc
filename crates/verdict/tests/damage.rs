//! Files that are cut, damaged, hostile or of others: an error that says which, or a valid profile; never a
//! panic, never more memory than the limits allow.

mod kit;

use std::io::Write;

use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;
use kit::{bytes, random, service, text};
use plimsoll_core::Bytes;
use plimsoll_verdict::flamegraph::FlamegraphOptions;
use plimsoll_verdict::text::TextOptions;
use plimsoll_verdict::{
    DiffOptions, GzipFault, Level, Metric, Profile, ReadError, ReadLimits, collapsed, diff, flamegraph, json,
    pprof, read, read_with,
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes).expect("memory takes what is written");
    packed.finish().expect("memory takes what is written")
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(bytes);
    std::io::Read::read_to_end(&mut reader, &mut plain).expect("it was packed here");
    plain
}

/// Everything that is done with a profile, done with one that a stranger gave.
fn use_it(profile: &Profile) {
    let file = bytes(|out| json::write(profile, out));
    assert_eq!(read(&file).as_ref(), Ok(profile), "what was read is written so that it reads the same");
    let file = bytes(|out| pprof::write(profile, out));
    assert_eq!(read(&file).map(|it| it.live()), Ok(profile.live()));
    let _ = flamegraph::write(profile, &FlamegraphOptions::default(), std::io::sink());
    let _ = collapsed::write(profile, Metric::LiveBytes, std::io::sink());
    text(|out| plimsoll_verdict::text::write(profile, &TextOptions::default(), out));
    diff(profile, profile, &DiffOptions { metric: Metric::LiveBytes, level: Level::Stack });
}

/// Reads what may be anything.
fn try_it(bytes: &[u8]) {
    match read(bytes) {
        Ok(profile) => use_it(&profile),
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty() && said.len() < 1000 && !said.contains('\n'), "{said:?}");
        }
    }
}

fn files() -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for profile in [service().profile(), random(3).profile(), random(7).profile()] {
        let pprof = bytes(|out| pprof::write(&profile, out));
        files.extend([gunzip(&pprof), pprof, bytes(|out| json::write(&profile, out))]);
    }
    files.push(include_bytes!("data/go_heap.pb.gz").to_vec());
    files
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused_or_whole() {
    for file in files() {
        for end in 0..file.len() {
            try_it(&file[..end]);
        }
    }
}

#[test]
fn a_cut_gzip_or_json_file_is_always_noticed() {
    let packed = bytes(|out| pprof::write(&service().profile(), out));
    for end in 2..packed.len() {
        let error = read(&packed[..end]).expect_err("it is cut");
        assert!(matches!(error, ReadError::Gzip { fault: GzipFault::Truncated, .. }), "{end}: {error}");
    }
    let plain = bytes(|out| json::write(&service().profile(), out));
    for end in 1..plain.len() - 1 {
        let error = read(&plain[..end]).expect_err("it is cut");
        assert!(matches!(error, ReadError::Json { .. }), "{end}: {error}");
    }
}

#[test]
fn a_file_with_flipped_bits_is_refused_or_a_profile() {
    for file in files() {
        for at in 0..file.len() {
            for bit in [at % 8, 7] {
                let mut damaged = file.clone();
                damaged[at] ^= 1 << bit;
                try_it(&damaged);
            }
        }
    }
}

#[test]
fn random_damage_is_survived() {
    let mut rng = Rng::with_seed(11);
    let files = files();
    for _ in 0..8_000 {
        let mut file = rng.choice(&files).expect("there are some").clone();
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(..file.len());
            match rng.u8(..4) {
                0 => file[at] = rng.u8(..),
                1 => file.truncate(at.max(1)),
                2 => file.insert(at, rng.u8(..)),
                _ => {
                    let end = rng.usize(at..file.len());
                    let piece = file[at..end.min(at + 40)].to_vec();
                    file.splice(at..at, piece);
                }
            }
        }
        try_it(&file);
    }
}

#[test]
fn foreign_files_are_named() {
    let jemalloc = include_bytes!("data/jemalloc.heap");
    let files: [(&[u8], &str); 13] = [
        (b"", "the file is empty"),
        (b"\x7fELF\x02\x01\x01", "a program or library (ELF)"),
        (jemalloc, "jemalloc_pprof"),
        (b"heap profile: 3: 4 [5: 6] @ heap/1048576\n", "go tool pprof -proto"),
        (b"v 10500 3\nX app\n", "heaptrack"),
        (b"\x28\xb5\x2f\xfd\x00", "heaptrack"),
        (b"main;a;b 12\n", "this is text"),
        ("größer\n".as_bytes(), "this is text"),
        (b"<svg xmlns='x'/>", "picture"),
        (b"{\"dhatFileVersion\": 2}", "DHAT"),
        (b"{\"a\": 1}", "JSON without a `schema`"),
        (
            b"{\"schema\": \"plimsoll.heap/2\"}",
            "`plimsoll.heap/2`, this version understands `plimsoll.heap/1`",
        ),
        (
            include_bytes!("data/go_cpu.pb.gz"),
            "a profile of samples (count), cpu (nanoseconds), not of a heap",
        ),
    ];
    for (file, says) in files {
        let error = read(file).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
        if !file.is_empty() && !file.starts_with(b"\x1f\x8b") {
            let packed = read(&gzip(file)).expect_err(says).to_string();
            assert_eq!(packed, error, "the same in gzip");
        }
    }
    let error = read(&gzip(&gzip(b"x"))).expect_err("twice").to_string();
    assert!(error.contains("a gzip file within a gzip file"), "{error}");
}

#[test]
fn what_go_measured_is_read() {
    let profile = read(include_bytes!("data/go_heap.pb.gz")).expect("Go wrote it");
    assert_eq!(profile.header().interval, Bytes::kib(4));
    assert_eq!(profile.header().metrics, Metric::ALL);
    // The sums of `go tool pprof -raw`.
    assert_eq!(profile.live().bytes, 4911 + 4_194_304 + 114_688 + 2_036_896 + 4307);
    assert_eq!(profile.allocated().objects, 3 + 64 + 1 + 60 + 1 + 1 + 1 + 1989 + 10);
    let table = text(|out| {
        plimsoll_verdict::text::write(&profile, &TextOptions { top: 2, ..TextOptions::default() }, out)
    });
    assert!(table.contains("main.grow  /tmp/gofix/main.go:22\n"), "{table}");
    assert!(table.contains("main.(*cache).fill  /tmp/gofix/main.go:16\n"), "{table}");
}

/// A message of profile.proto by hand: fields of bytes and of numbers.
#[derive(Default)]
struct Proto(Vec<u8>);

impl Proto {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn message(self, field: u64, message: Proto) -> Self {
        self.bytes(field, &message.0)
    }

    /// A profile as the crate jemalloc_pprof writes it: live bytes and nothing else.
    fn live_bytes() -> Self {
        let start = Proto::default();
        let strings = ["", "inuse_space", "bytes", "f"];
        let start = strings.iter().fold(start, |it, string| it.bytes(6, string.as_bytes()));
        start.message(1, Proto::default().number(1, 1).number(2, 2))
    }
}

#[test]
fn one_column_of_live_bytes_is_a_heap_and_what_is_missing_is_not_made_up() {
    let file = Proto::live_bytes()
        .message(5, Proto::default().number(1, 9).number(2, 3))
        .message(4, Proto::default().number(1, 7).message(4, Proto::default().number(1, 9)))
        .message(2, Proto::default().number(1, 7).number(2, 4096));
    let profile = read(&file.0).expect("it is one");
    assert_eq!(profile.header().metrics, [Metric::LiveBytes]);
    assert_eq!((profile.live().bytes, profile.live().objects), (4096, 0));
    assert_eq!(text(|out| collapsed::write(&profile, Metric::LiveBytes, out)), "f 4096\n");
    assert!(collapsed::write(&profile, Metric::LiveObjects, Vec::new()).is_err());
}

#[test]
fn damage_that_still_parses_is_named() {
    let negative = Proto::live_bytes().message(2, Proto::default().number(2, -5_i64 as u64));
    let cases = [
        (negative, "the difference of two profiles"),
        (Proto::live_bytes().message(2, Proto::default()), "a sample has 0 values, the file says 1"),
        (
            Proto::live_bytes().message(2, Proto::default().number(1, 3).number(2, 1)),
            "location 3, which is not",
        ),
        (Proto::live_bytes().message(5, Proto::default().number(2, 77)), "string 77, there are 4"),
        (Proto::live_bytes().message(4, Proto::default().number(2, 8)), "mapping 8, which is not there"),
        (Proto::live_bytes().bytes(2, &[0x0a, 0xff]), "a sample"),
        (Proto::default().number(9, 1), "it does not say what it measured"),
    ];
    for (file, says) in cases {
        let error = read(&file.0).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_missing_field_is_named_and_an_unknown_one_passed_over() {
    let profile = service().profile();
    let file = text(|out| json::write(&profile, out));
    for field in ["taken_unix_ms", "interval_bytes", "stacks", "locations", "allocated_bytes", "address"] {
        let without = file.replacen(&format!("\"{field}\":"), "\"gone\":", 1);
        let error = read(without.as_bytes()).expect_err(field).to_string();
        assert!(error.contains(&format!("missing field `{field}`")), "{error}");
    }
    // Where it is, also in a file of several lines.
    let lines = file.replace(",\"stacks\":[", ",\n\"stacks\":[").replacen("\"freed_bytes\":", "\"f\":", 1);
    let Err(ReadError::Json { line, column, .. }) = read(lines.as_bytes()) else { panic!("it is missing") };
    let there =
        lines.lines().nth(line - 1).and_then(|text| text.get(..column)).expect("the place is in the file");
    assert!(line == 2 && there.contains("\"f\":"), "{line}:{column}");
    let more = file.replacen("\"origin\":", "\"later\":{\"a\":[1,{}]},\"origin\":", 1);
    let more = more.replacen("\"truncated\":", "\"later\":null,\"truncated\":", 3);
    assert_eq!(read(more.as_bytes()), Ok(profile.clone()));
    let with_space = format!("\u{feff} \n{file}");
    assert_eq!(read(with_space.as_bytes()), Ok(profile));
}

#[test]
fn a_small_file_does_not_become_a_large_profile() {
    // A megabyte of zeros a thousand times over is a megabyte packed.
    let bomb = gzip(&vec![0; 64 << 20]);
    assert!(bomb.len() < 100_000);
    let limits = ReadLimits { decompressed_max: Bytes::mib(1), ..ReadLimits::default() };
    assert_eq!(
        read_with(&bomb, &limits),
        Err(ReadError::Limit { what: "bytes when unpacked", max: 1 << 20 })
    );

    let limits = ReadLimits { stacks_max: 4, ..ReadLimits::default() };
    let stacks =
        |count| (0..count).fold(Proto::live_bytes(), |it, _| it.message(2, Proto::default().number(2, 1)));
    assert!(read_with(&stacks(4).0, &limits).is_ok());
    assert_eq!(read_with(&stacks(5).0, &limits), Err(ReadError::Limit { what: "stacks", max: 4 }));

    // Frames that a file does not have to write out: a place with many lines, many times in a stack.
    let function = Proto::default().number(1, 1).number(2, 3);
    let line = || Proto::default().number(1, 1);
    let place = (0..100).fold(Proto::default().number(1, 1), |it, _| it.message(4, line()));
    let sample = (0..100).fold(Proto::default().number(2, 1), |it, _| it.number(1, 1));
    let file = Proto::live_bytes().message(5, function).message(4, place).message(2, sample);
    let error = read(&file.0);
    assert_eq!(error, Err(ReadError::Limit { what: "frames of one stack", max: 4096 }));

    let strings = ReadLimits { entries_max: 3, ..ReadLimits::default() };
    assert_eq!(
        read_with(&Proto::live_bytes().0, &strings),
        Err(ReadError::Limit { what: "strings", max: 3 })
    );
}

#[test]
fn the_limits_hold_for_json_too() {
    let file = bytes(|out| json::write(&service().profile(), out));
    let limits = |stacks_max, stack_frames_max, frames_max, entries_max| ReadLimits {
        stacks_max,
        stack_frames_max,
        frames_max,
        entries_max,
        ..ReadLimits::default()
    };
    assert!(read_with(&file, &limits(5, 6, 22, 9)).is_ok());
    for (limits, what) in [
        (limits(4, 9, 99, 99), "stacks"),
        (limits(5, 5, 99, 99), "frames of one stack"),
        (limits(5, 9, 9, 99), "frames of all stacks together"),
        (limits(5, 9, 99, 1), "mappings"),
        (limits(0, 0, 0, 0), "mappings"),
    ] {
        let Err(ReadError::Limit { what: found, .. }) = read_with(&file, &limits) else {
            panic!("over {what}")
        };
        assert_eq!(found, what);
    }
    let small = ReadLimits { decompressed_max: Bytes::new(100), ..ReadLimits::default() };
    assert_eq!(read_with(&file, &small), Err(ReadError::Limit { what: "bytes", max: 100 }));
    assert!(json::read(&gzip(&file), &ReadLimits::default()).is_ok(), "in gzip as well");
}
