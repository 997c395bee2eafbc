//! What a process's memory consists of, from lists that are written here, and of a process that was made for it.

use std::io::{BufRead as _, Write as _};
use std::process::{Child, Command, Stdio};

use super::*;

const MIB: u64 = 1 << 20;

fn mappings(list: &str) -> Vec<Mapping> {
    smaps::read(list.as_bytes()).expect("text")
}

fn stacks(threads: &[Option<u64>]) -> Stacks {
    Stacks { bytes_max: 8 * MIB, threads: threads.to_vec(), pages: None }
}

fn check(memory: &ProcessMemory, expected_kib: [u64; 6]) {
    let names = ["heap", "thread_stacks", "files", "profiler", "shared_memory", "other_anonymous"];
    assert!(memory.parts.iter().map(|part| part.name).eq(names));
    let sum: u64 = memory.parts.iter().map(|part| part.resident_bytes).sum();
    assert_eq!(sum, memory.resident_bytes, "parts add up");
    let kib: Vec<u64> = memory.parts.iter().map(|part| part.resident_bytes / 1024).collect();
    assert_eq!(kib, expected_kib);
}

/// A program, its heap, our tables, a region of sampled blocks, a thread's stack, shared memory.
const LIST: &str = "\
1000-2000 r-xp 00000000 08:01 12 /usr/bin/x
Rss: 100 kB
2000-9000 rw-p 00000000 00:00 0 [heap]
Rss: 1000 kB
10000-20000 rw-p 00000000 00:00 0
Rss: 40 kB
VmFlags: rd wr nr nh
100000-200000 rw-p 00000000 00:00 0
Rss: 300 kB
VmFlags: rd wr nr nh
200000-900000 ---p 00000000 00:00 0
a00000-a10000 rw-s 00000000 00:01 7 /memfd:plimsoll (deleted)
Rss: 80 kB
a10000-a20000 rw-s 00000000 00:01 8 /memfd:frames (deleted)
Rss: 7 kB
b00000-b01000 ---p 00000000 00:00 0
b01000-c00000 rw-p 00000000 00:00 0
Rss: 60 kB
VmFlags: rd wr nh
d00000-d01000 ---p 00000000 00:00 0
d01000-e00000 rw-p 00000000 00:00 0
Rss: 16 kB
f00000-f10000 rw-p 00000000 00:00 0 [stack]
Rss: 24 kB
";

#[test]
fn parts_add_up_and_each_page_is_in_one() {
    let list = mappings(LIST);
    let profiled = |live, live_samples| Profiled {
        live: Bytes::kib(live),
        live_samples,
        block_addresses: 0x10_0000..0x90_0000,
    };
    // Two threads that wait, one of them in a stack.
    let waiting = stacks(&[Some(0xbf_0000), Some(0x5000)]);
    check(&split(&list, Some(&profiled(700, 0)), &waiting), [700, 84, 100, 120, 7, 616]);
    // 512 records of 24 bytes are 12 KiB of what is in the region.
    check(&split(&list, Some(&profiled(700, 512)), &waiting), [700, 84, 100, 132, 7, 604]);
    // More than there can be.
    check(&split(&list, Some(&profiled(1 << 30, u64::MAX)), &waiting), [1016, 84, 100, 420, 7, 0]);
    // Without a profiler nothing is known to be its own or the heap's.
    check(&split(&list, None, &waiting), [0, 84, 100, 0, 87, 1356]);
    check(&split(&[], Some(&profiled(1, 1)), &waiting), [0; 6]);
}

#[test]
fn stacks_of_threads_that_run_are_found_by_their_guards() {
    let list = mappings(LIST);
    let resident = |threads: &[Option<u64>]| stacks(threads).resident_bytes(&list) / 1024;
    assert_eq!(resident(&[]), 0, "as many as there are threads");
    assert_eq!(resident(&[None]), 60, "the first");
    assert_eq!(resident(&[None, None, None]), 76);
    assert_eq!(resident(&[Some(0xdf_0000), None]), 76, "what was found is not found again");
    assert_eq!(resident(&[Some(0xdf_0000), Some(0xde_0000)]), 16, "nor counted twice");
}

#[test]
fn what_lies_behind_what_glibc_keeps_for_an_arena_is_no_stack() {
    let list = mappings(
        "\
7f0000021000-7f0004000000 ---p 00000000 00:00 0
7f0004000000-7f0004021000 rw-p 00000000 00:00 0
Rss: 132 kB
7f0007fff000-7f0008000000 ---p 00000000 00:00 0
7f0008000000-7f0008021000 rw-p 00000000 00:00 0
Rss: 132 kB
",
    );
    assert_eq!(stacks(&[None, None]).resident_bytes(&list), 0);
}

#[test]
fn limits_and_pointers_are_read_as_the_kernel_writes_them() {
    let line =
        |soft| format!("Limit  Soft Limit  Hard Limit  Units\nMax stack size  {soft}  unlimited  bytes\n");
    for (soft, bytes) in
        [("8388608", 8 * MIB), ("unlimited", STACK_BYTES), ("1", STACK_BYTES), ("99999999999", 64 * MIB)]
    {
        assert_eq!(stack_bytes_max(&line(soft)), bytes, "{soft}");
    }
    assert_eq!(stack_bytes_max(""), STACK_BYTES);
    let call = "202 0x7f0 0x189 0x0 0x0 0x0 0xffffffff 0x7f1234567890 0x7f12000000ff\n";
    assert_eq!(stack_pointer(call), Some(0x7f12_3456_7890));
    for none in ["running\n", "", "-1"] {
        assert_eq!(stack_pointer(none), None, "{none}");
    }
}

/// Maps 64 MiB and shares 8, has 10 threads with 256 KiB of stack each, and holds 32 MiB of small blocks.
const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static pthread_barrier_t all;
static void *thread(void *spins) {
    volatile char stack[256 << 10];
    memset((void *)stack, 1, sizeof stack);
    pthread_barrier_wait(&all);
    while (spins) stack[0]++;
    pause();
    return 0;
}
int main(void) {
    int kind = MAP_PRIVATE | MAP_ANONYMOUS;
    memset(mmap(0, 64 << 20, PROT_READ | PROT_WRITE, kind, -1, 0), 1, 64 << 20);
    int file = memfd_create("own", 0);
    if (ftruncate(file, 8 << 20)) return 1;
    memset(mmap(0, 8 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), 1, 8 << 20);
    pthread_barrier_init(&all, 0, 11);
    pthread_t id;
    for (long nth = 0; nth < 10; nth++) pthread_create(&id, 0, thread, (void *)(long)(nth == 9));
    pthread_barrier_wait(&all);
    for (int nth = 0; nth < 32 << 10; nth++) memset(malloc(1 << 10), 1, 1 << 10);
    puts("ready");
    fflush(stdout);
    return getchar() == EOF;
}
"#;

/// Is ended with the test, also if that fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_parts_of_a_process_are_those_that_it_was_made_with() {
    let program = std::env::temp_dir().join(format!("plimsoll-memory-{}", std::process::id()));
    let mut cc = Command::new("cc")
        .args(["-O1", "-pthread", "-x", "c", "-", "-o"])
        .arg(&program)
        .stdin(Stdio::piped())
        .spawn()
        .expect("this test needs a C compiler, `cc`");
    cc.stdin.take().expect("piped").write_all(PROGRAM.as_bytes()).expect("it reads");
    assert!(cc.wait().expect("it ends").success());
    let mut command = Command::new(&program);
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut running = Running(started.expect("it starts"));
    std::fs::remove_file(&program).expect("it is ours");
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().expect("piped")).read_line(&mut line).expect("text");
    assert_eq!(line, "ready\n");
    let pid = i32::try_from(running.0.id()).expect("small");

    let profiled = Profiled { live: Bytes::mib(32), live_samples: 0, block_addresses: 0..0 };
    let memory = parts(pid, Some(&profiled)).expect("our own child");
    let sum: u64 = memory.parts.iter().map(|part| part.resident_bytes).sum();
    assert_eq!(sum, memory.resident_bytes);
    for (name, least, most) in [
        ("heap", 32 * MIB, 32 * MIB),
        // A page or two more of each, and the main one's.
        ("thread_stacks", 5 * MIB / 2, 7 * MIB / 2),
        ("files", MIB / 4, 8 * MIB),
        ("profiler", 0, 0),
        ("shared_memory", 8 * MIB, 8 * MIB),
        // With what malloc has beside its blocks.
        ("other_anonymous", 64 * MIB, 67 * MIB),
    ] {
        let part = memory.part(name).expect(name);
        assert!((least..=most).contains(&part), "{name}: {part} of {memory:?}");
    }
    let glance = process::resident(pid).expect("our own child").as_u64();
    assert!(glance.abs_diff(memory.resident_bytes) < 4 * MIB, "{glance} of {}", memory.resident_bytes);

    running.0.kill().expect("our own child");
    // Ended, and not waited for: it has its number, and no memory.
    let gone = loop {
        match parts(pid, None) {
            Ok(_) => std::thread::yield_now(),
            Err(error) => break error,
        }
    };
    assert!(matches!(gone.why, Why::Gone), "{gone}");
}
