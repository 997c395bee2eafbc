//! What we write is read by the tool that everybody has: `go tool pprof` names, sums and compares it as we do.
//! Needs `go` (Debian: golang-go). Without it the test fails and says so: a check that is skipped in silence
//! is no check.

mod kit;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kit::{Heap, MIB, bytes, service};
use plimsoll_verdict::{Metric, Profile, pprof, read};

/// A folder of its own for everything that go wants to write; deleted at the end.
struct Workshop {
    folder: PathBuf,
}

impl Workshop {
    fn new(name: &str) -> Workshop {
        let folder = std::env::temp_dir().join(format!("plimsoll-{name}-{}", std::process::id()));
        for inner in ["home", "cache", "tmp", "binaries"] {
            fs::create_dir_all(folder.join(inner)).expect("the temporary folder can be written to");
        }
        Workshop { folder }
    }

    fn write(&self, name: &str, profile: &Profile) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, bytes(|out| pprof::write(profile, out)))
            .expect("the temporary folder can be written to");
        path
    }

    fn pprof(&self, args: &[&str]) -> String {
        let in_folder = |name: &str| self.folder.join(name);
        let run = Command::new("go")
            .args(["tool", "pprof"])
            .args(args)
            .current_dir(&self.folder)
            .env("HOME", in_folder("home"))
            .env("GOCACHE", in_folder("cache"))
            .env("GOFLAGS", "")
            .env("PPROF_TMPDIR", in_folder("tmp"))
            // Nothing of this machine gets into the answer.
            .env("PPROF_BINARY_PATH", in_folder("binaries"))
            .output();
        let Output { status, stdout, stderr } =
            run.unwrap_or_else(|error| panic!("`go` could not be run ({error}): install golang-go"));
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "go tool pprof {args:?}: {stderr}");
        stdout.into_owned()
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // What cannot be deleted is in the temporary folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the temporary folder has a plain name")
}

/// The lines of a table, each with single spaces.
fn squeezed(table: &str) -> Vec<String> {
    table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn has(table: &str, line: &str) {
    assert!(squeezed(table).iter().any(|there| there.contains(line)), "`{line}` is not in:\n{table}");
}

#[test]
fn go_names_and_sums_it_as_we_do() {
    let workshop = Workshop::new("go-top");
    let file = workshop.write("heap.pb.gz", &service().profile());

    let top = workshop.pprof(&["-top", "-unit=MB", path(&file)]);
    for line in [
        "Type: inuse_space",
        "Showing nodes accounting for 49MB, 100% of 49MB total",
        // The allocator itself is left out, and names are whole.
        "40MB 81.63% 81.63% 40MB 81.63% alloc::vec::Vec<T,A>::push (inline)",
        "8MB 16.33% 97.96% 8MB 16.33% app::log::Log<[u8; 4]>::append",
        "1MB 2.04% 100% 1MB 2.04% bytes::bytes_mut::BytesMut::reserve_inner",
        "0 0% 100% 1MB 2.04% <app::Conn as core::ops::Drop>::drop & \"more\"",
        "0 0% 100% 49MB 100% app::main",
    ] {
        has(&top, line);
    }
    assert!(!top.contains("GlobalAlloc") && !top.contains("raw_vec"), "{top}");
    let top = workshop.pprof(&["-top", "-sample_index=alloc_objects", path(&file)]);
    has(&top, "4898 total");
    let lines = workshop.pprof(&["-top", "-lines", "-sample_index=inuse_objects", path(&file)]);
    has(&lines, "app::cache::Cache::fill src/cache.rs:42");
}

/// The tables of allocators are told to other tools as one pattern, which has to mean the same.
#[test]
fn go_leaves_out_the_wrappers_of_c_programs_too() {
    let workshop = Workshop::new("go-wrappers");
    let mut heap = Heap::default();
    for (address, name) in [
        (0x11, "malloc"),
        (0x21, "xrealloc.part.0"),
        (0x31, "app_parse"),
        (0x41, "ztrymalloc_usable_internal"),
        (0x51, "sdsnewlen"),
        (0x61, "leak_malloc"),
    ] {
        heap.names.name(address, &[(name, "", 0)]);
    }
    heap.stack(&[0x11, 0x21, 0x31], (1, 4 * MIB), (0, 0), 9);
    heap.stack(&[0x11, 0x41, 0x51], (1, 2 * MIB), (0, 0), 9);
    heap.stack(&[0x11, 0x61], (1, MIB), (0, 0), 9);
    let file = workshop.write("heap.pb.gz", &heap.profile());
    let top = workshop.pprof(&["-top", "-unit=MB", path(&file)]);
    let rows: Vec<String> =
        squeezed(&top).into_iter().skip_while(|row| !row.ends_with("cum%")).skip(1).collect();
    assert_eq!(
        rows,
        [
            "4MB 57.14% 57.14% 4MB 57.14% app_parse",
            "2MB 28.57% 85.71% 2MB 28.57% sdsnewlen",
            "1MB 14.29% 100% 1MB 14.29% leak_malloc",
        ],
        "{top}"
    );
}

#[test]
fn go_sees_every_field() {
    let workshop = Workshop::new("go-raw");
    let file = workshop.write("heap.pb.gz", &service().profile().with_origin("plimsoll test"));
    let raw = workshop.pprof(&["-raw", path(&file)]);
    for line in [
        "PeriodType: space bytes",
        "Period: 524288",
        "Time: 2026-11-21",
        "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes[dflt]",
        "4000 52428800 3000 41943040: 2 3",
        "truncated:[true]",
        // The return address less one, by which a tool finds the call.
        "0x1020 M=1 alloc::vec::Vec<T,A>::push",
        "1: 0x1000/0x2000/0x1000 /opt/app/bin/app 0123456789abcdef [FN][FL][LN][IN]",
        "2: 0x7000/0x8000/0x200 /usr/lib/libc.so.6",
    ] {
        has(&raw, line);
    }
    has(&workshop.pprof(&["-comments", path(&file)]), "plimsoll test");
}

#[test]
fn go_compares_two_of_them() {
    let workshop = Workshop::new("go-diff");
    let before = workshop.write("before.pb.gz", &service().profile());
    let mut later = service();
    later.snapshot.stacks[1].allocated.bytes += 5 * MIB;
    let after = workshop.write("after.pb.gz", &later.profile());
    let base = format!("-diff_base={}", path(&before));
    let top = workshop.pprof(&["-top", "-unit=MB", &base, path(&after)]);
    has(&top, "5MB 10.20% app::log::Log<[u8; 4]>::append");
}

#[test]
fn what_go_writes_is_read() {
    let workshop = Workshop::new("go-proto");
    let ours = service().profile();
    let file = workshop.write("heap.pb.gz", &ours);
    workshop.pprof(&["-proto", "-output=go.pb.gz", path(&file)]);
    let theirs =
        read(&fs::read(workshop.folder.join("go.pb.gz")).expect("go wrote it")).expect("it is pprof");
    assert_eq!(theirs.header().metrics, Metric::ALL);
    assert_eq!((theirs.live(), theirs.allocated()), (ours.live(), ours.allocated()));
}
