//! Which line is named: of programs in Python, in JavaScript and in C, whose stacks are mixtures.

mod kit;

use kit::{Heap, MIB, text};
use plimsoll_core::heap::Module;
use plimsoll_verdict::text::TextOptions;
use plimsoll_verdict::{DiffOptions, diff};

/// A frame: function, file, line.
type Frame = (&'static str, &'static str, u32);

const EVAL: Frame = ("_PyEval_EvalFrameDefault", "", 0);
const CALL: Frame = ("_PyFunction_Vectorcall", "Objects/call.c", 393);
const DICT: Frame = ("PyDict_New", "Objects/dictobject.c", 700);
const MALLOC: Frame = ("malloc", "", 0);
const RAW: Frame = ("PyObject_Malloc", "Objects/obmalloc.c", 10);
const FLASK: &str = "/srv/venv/lib/python3.12/site-packages/flask/app.py";
const JSON: &str = "/usr/lib/python3.12/json/decoder.py";

/// A process of `program` with one stack, the leaf first.
fn process(program: &str, frames: &[Frame]) -> Heap {
    let mut heap = Heap::default();
    heap.snapshot.modules.push(Module {
        path: program.to_owned(),
        build_id: String::new(),
        addresses: 0x1000..0x9000,
        file_offset: 0,
        bias: 0,
    });
    let addresses: Vec<u64> = (0..frames.len() as u64).map(|at| 0x1001 + at).collect();
    for (&address, frame) in addresses.iter().zip(frames) {
        heap.names.name(address, &[*frame]);
    }
    heap.stack(&addresses, (10, MIB), (0, 0), 5);
    heap
}

fn own(program: &str, frames: &[Frame]) -> String {
    let profile = process(program, frames).profile();
    let frames = profile.frames();
    let own = frames.own(&profile.stacks()[0]).expect("the stack has frames");
    format!("{} {}:{}", own.function, own.file.unwrap_or_default(), own.line.unwrap_or_default())
}

fn python(frames: &[Frame]) -> String {
    own("/usr/bin/python3.12", frames)
}

#[test]
fn the_innermost_line_of_the_programs_own_python_is_named() {
    let handle = ("handle", "/srv/app/views.py", 12);
    let main = ("<module>", "/srv/app/main.py", 3);
    let decode = ("decode", JSON, 337);
    let dispatch = ("dispatch_request", FLASK, 900);
    let libc = ("__libc_start_main", "", 0);
    let stack = [MALLOC, RAW, DICT, CALL, EVAL, decode, EVAL, handle, EVAL, dispatch, EVAL, main, EVAL, libc];
    assert_eq!(python(&stack), "handle /srv/app/views.py:12");
    // Also when it was not given in a file.
    let typed = ("<module>", "<string>", 1);
    assert_eq!(python(&[MALLOC, DICT, EVAL, typed, EVAL]), "<module> <string>:1");
    // And in whatever program the interpreter is, a program with its own lines included.
    let host = ("app::run", "src/main.rs", 9);
    assert_eq!(
        own("/opt/app/bin/app", &[MALLOC, DICT, host, EVAL, handle, host]),
        "handle /srv/app/views.py:12"
    );
}

#[test]
fn without_a_line_of_its_own_the_innermost_python_is_named_and_never_the_interpreter() {
    let frozen = ("_find_and_load", "<frozen importlib._bootstrap>", 1360);
    let decode = ("decode", JSON, 337);
    let dispatch = ("dispatch_request", FLASK, 900);
    assert_eq!(python(&[MALLOC, DICT, EVAL, decode, EVAL, dispatch, EVAL]), format!("decode {JSON}:337"));
    assert_eq!(
        python(&[MALLOC, RAW, EVAL, frozen, EVAL]),
        "_find_and_load <frozen importlib._bootstrap>:1360"
    );
}

#[test]
fn a_stack_without_python_is_the_interpreters_and_not_its_allocators() {
    assert_eq!(python(&[MALLOC, ("PyMem_RawMalloc", "", 0), RAW, ("PyInit_gc", "", 0)]), "PyInit_gc :0");
}

/// The interpreter is the program that runs, but nobody's caller.
#[test]
fn the_table_tells_the_callers_in_python_only() {
    let store = ("store", "/srv/app/cache.py", 4);
    let handle = ("handle", "/srv/app/views.py", 12);
    let frames = [MALLOC, DICT, EVAL, store, EVAL, CALL, handle, EVAL, handle, EVAL];
    let profile = process("/usr/bin/python3.12", &frames).profile();
    let options = TextOptions { callers: 9, ..TextOptions::default() };
    let table = text(|out| plimsoll_verdict::text::write(&profile, &options, out));
    let rows: Vec<&str> = table.lines().skip_while(|line| !line.ends_with("allocated by")).skip(1).collect();
    let trimmed: Vec<&str> = rows.iter().map(|row| row.trim()).collect();
    assert!(rows[0].ends_with("store  /srv/app/cache.py:4"), "{table}");
    assert_eq!(
        &trimmed[1..],
        [
            "from 2 frames of libraries",
            "from handle  /srv/app/views.py:12",
            "from a frame of a library",
            "from handle  /srv/app/views.py:12",
        ],
        "{table}"
    );
}

#[test]
fn growth_is_told_of_the_line_in_python() {
    let frames = [MALLOC, RAW, DICT, EVAL, ("store", "/srv/app/cache.py", 4), EVAL];
    let grown = process("/usr/bin/python3.12", &frames).profile();
    let compared = diff(&Heap::default().profile(), &grown, &DiffOptions::default());
    let at = &compared.entries[0].at;
    assert_eq!((at.function.as_str(), at.line), ("store", Some(4)));
}

#[test]
fn code_without_a_name_is_named_last() {
    let node = "/usr/bin/node";
    let jit = ("[jit]", "", 0);
    assert_eq!(own(node, &[MALLOC, jit, ("node::Buffer::New", "", 0), jit]), "node::Buffer::New :0");
    // Even a function of the library says more.
    assert_eq!(
        own(node, &[MALLOC, jit, ("std::vector<int>::push_back", "", 0), jit]),
        "std::vector<int>::push_back :0"
    );
    assert_eq!(own(node, &[MALLOC, jit, jit]), "[jit] :0");
}

#[test]
fn in_c_it_is_who_called_the_wrapper() {
    let server = "/usr/lib/postgresql/16/bin/postgres";
    let parse = ("parse_analyze", "", 0);
    let wrappers = ["AllocSetAllocFromNewBlock", "MemoryContextAllocZero", "palloc0"];
    let mut frames: Vec<Frame> = wrappers.iter().map(|&name| (name, "", 0)).collect();
    frames.insert(0, MALLOC);
    frames.push(parse);
    assert_eq!(own(server, &frames), "parse_analyze :0");
    let redis = [
        MALLOC,
        ("ztrymalloc_usable_internal", "zmalloc.c", 99),
        ("zmalloc", "zmalloc.c", 1),
        ("sdsnew", "sds.c", 7),
    ];
    assert_eq!(own("/usr/local/bin/redis-server", &redis), "sdsnew sds.c:7");
    let nginx = [
        MALLOC,
        ("ngx_alloc", "", 0),
        ("ngx_palloc_large", "", 0),
        ("ngx_palloc", "", 0),
        ("ngx_http_init", "", 0),
    ];
    assert_eq!(own("/usr/sbin/nginx", &nginx), "ngx_http_init :0");
    // A profile of nothing but an allocator is still shown.
    assert_eq!(own("/usr/sbin/nginx", &[MALLOC, ("xmalloc", "", 0)]), "malloc :0");
}
