//! The tables beside the headers of the interpreters that are installed: the C compiler says where each field is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

/// The name that a value has in what the C program prints, and the C expression for it.
type Asked = (&'static str, &'static str);

const ASKED: [Asked; 15] = [
    ("previous", "offsetof(_PyInterpreterFrame, previous)"),
    ("owner", "offsetof(_PyInterpreterFrame, owner)"),
    ("locals", "offsetof(_PyInterpreterFrame, localsplus)"),
    ("generator", "FRAME_OWNED_BY_GENERATOR"),
    ("filename", "offsetof(PyCodeObject, co_filename)"),
    ("qualname", "offsetof(PyCodeObject, co_qualname)"),
    ("linetable", "offsetof(PyCodeObject, co_linetable)"),
    ("firstlineno", "offsetof(PyCodeObject, co_firstlineno)"),
    ("traceable", "offsetof(PyCodeObject, _co_firsttraceable)"),
    ("instructions", "offsetof(PyCodeObject, co_code_adaptive)"),
    ("length", "offsetof(PyASCIIObject, length)"),
    ("state", "offsetof(PyASCIIObject, state)"),
    ("ascii", "sizeof(PyASCIIObject)"),
    ("compact", "sizeof(PyCompactUnicodeObject)"),
    ("values", "offsetof(PyBytesObject, ob_sval)"),
];
const ASKED_OF_ALL: [Asked; 5] = [
    ("object_type", "offsetof(PyObject, ob_type)"),
    ("object_size", "offsetof(PyVarObject, ob_size)"),
    ("type_name", "offsetof(PyTypeObject, tp_name)"),
    ("type_basic_size", "offsetof(PyTypeObject, tp_basicsize)"),
    ("unit", "sizeof(_Py_CODEUNIT)"),
];
const ASKED_3_11: [Asked; 6] = [
    ("code", "offsetof(_PyInterpreterFrame, f_code)"),
    ("instruction", "offsetof(_PyInterpreterFrame, prev_instr)"),
    ("entry", "offsetof(_PyInterpreterFrame, is_entry)"),
    ("c_frame", "offsetof(PyThreadState, cframe)"),
    ("current", "offsetof(_PyCFrame, current_frame)"),
    ("thread_id", "offsetof(PyThreadState, thread_id)"),
];
const ASKED_3_12: [Asked; 6] = [
    ("code", "offsetof(_PyInterpreterFrame, f_code)"),
    ("instruction", "offsetof(_PyInterpreterFrame, prev_instr)"),
    ("c_stack", "FRAME_OWNED_BY_CSTACK"),
    ("c_frame", "offsetof(PyThreadState, cframe)"),
    ("current", "offsetof(_PyCFrame, current_frame)"),
    ("status", "offsetof(PyThreadState, _status)"),
];
const ASKED_3_13: [Asked; 27] = [
    ("code", "offsetof(_PyInterpreterFrame, f_executable)"),
    ("instruction", "offsetof(_PyInterpreterFrame, instr_ptr)"),
    ("c_stack", "FRAME_OWNED_BY_CSTACK"),
    ("current", "offsetof(PyThreadState, current_frame)"),
    ("status", "offsetof(PyThreadState, _status)"),
    ("table", "offsetof(_PyRuntimeState, debug_offsets)"),
    ("word cookie", "offsetof(_Py_DebugOffsets, cookie) / 8"),
    ("word version", "offsetof(_Py_DebugOffsets, version) / 8"),
    ("word free_threaded", "offsetof(_Py_DebugOffsets, free_threaded) / 8"),
    ("word current_frame", "offsetof(_Py_DebugOffsets, thread_state.current_frame) / 8"),
    ("word status", "offsetof(_Py_DebugOffsets, thread_state.status) / 8"),
    ("word previous", "offsetof(_Py_DebugOffsets, interpreter_frame.previous) / 8"),
    ("word executable", "offsetof(_Py_DebugOffsets, interpreter_frame.executable) / 8"),
    ("word instruction", "offsetof(_Py_DebugOffsets, interpreter_frame.instr_ptr) / 8"),
    ("word locals", "offsetof(_Py_DebugOffsets, interpreter_frame.localsplus) / 8"),
    ("word owner", "offsetof(_Py_DebugOffsets, interpreter_frame.owner) / 8"),
    ("word filename", "offsetof(_Py_DebugOffsets, code_object.filename) / 8"),
    ("word qualname", "offsetof(_Py_DebugOffsets, code_object.qualname) / 8"),
    ("word linetable", "offsetof(_Py_DebugOffsets, code_object.linetable) / 8"),
    ("word firstlineno", "offsetof(_Py_DebugOffsets, code_object.firstlineno) / 8"),
    ("word instructions", "offsetof(_Py_DebugOffsets, code_object.co_code_adaptive) / 8"),
    ("word object_type", "offsetof(_Py_DebugOffsets, pyobject.ob_type) / 8"),
    ("word bytes_length", "offsetof(_Py_DebugOffsets, bytes_object.ob_size) / 8"),
    ("word bytes_values", "offsetof(_Py_DebugOffsets, bytes_object.ob_sval) / 8"),
    ("word string_state", "offsetof(_Py_DebugOffsets, unicode_object.state) / 8"),
    ("word string_length", "offsetof(_Py_DebugOffsets, unicode_object.length) / 8"),
    ("word string_ascii", "offsetof(_Py_DebugOffsets, unicode_object.asciiobject_size) / 8"),
];

/// The folders with headers of a version: where an interpreter was installed by hand, and the system's own.
fn headers(minor: u8) -> Vec<PathBuf> {
    let name = format!("python3.{minor}");
    let versions = std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv/versions"));
    let installed = versions.and_then(|folder| std::fs::read_dir(folder).ok());
    let by_hand =
        installed.into_iter().flatten().flatten().map(|entry| entry.path().join("include").join(&name));
    let everywhere =
        by_hand.chain([Path::new("/usr/include").join(&name), Path::new("/usr/local/include").join(&name)]);
    everywhere.filter(|folder| folder.join("internal/pycore_frame.h").is_file()).collect()
}

/// What the C compiler makes of the expressions; none, and the reason is printed, if there is no C compiler.
fn compiled(headers: &Path, asked: &[Asked], minor: u8) -> Option<BTreeMap<String, u64>> {
    let folder = std::env::temp_dir().join(format!("plimsoll-layout-{}-{minor}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the program");
    let (source, program) = (folder.join("offsets.c"), folder.join("offsets"));
    let mut text = String::from(
        "#define Py_BUILD_CORE 1\n#include <Python.h>\n#include <stddef.h>\n#include <stdio.h>\n\
         #include <string.h>\n#include <internal/pycore_frame.h>\n#include <internal/pycore_runtime.h>\n\
         #include <internal/pycore_code.h>\nint main(void) {\n",
    );
    for (name, expression) in asked.iter().chain(&ASKED_OF_ALL) {
        writeln!(text, "printf(\"{name}=%llu\\n\", (unsigned long long)({expression}));").expect("a string");
    }
    // Bits of a field have no offset: set one, and look.
    text.push_str(
        "union { PyASCIIObject s; unsigned char b[sizeof(PyASCIIObject)]; } u; memset(&u, 0, sizeof u);\n\
         u.s.state.kind = 7; printf(\"kind=%u\\n\", *(unsigned*)(u.b + offsetof(PyASCIIObject, state)));\n\
         u.s.state.kind = 0; u.s.state.compact = 1;\n\
         printf(\"is_compact=%u\\n\", *(unsigned*)(u.b + offsetof(PyASCIIObject, state)));\n\
         u.s.state.compact = 0; u.s.state.ascii = 1;\n\
         printf(\"is_ascii=%u\\n\", *(unsigned*)(u.b + offsetof(PyASCIIObject, state)));\n",
    );
    if minor > 11 {
        text.push_str(
            "PyThreadState t; memset(&t, 0, sizeof t); t._status.active = 1;\n\
             printf(\"active=%u\\n\", *(unsigned*)&t._status);\n",
        );
    }
    text.push_str("return 0; }\n");
    std::fs::write(&source, text).expect("the program's source");
    let mut compiler = Command::new("cc");
    compiler.arg("-w").arg("-I").arg(headers).arg("-I").arg(headers.join("internal"));
    // Distributions keep what depends on the machine elsewhere.
    if let Some(name) = headers.file_name() {
        compiler.arg("-I").arg(Path::new("/usr/include/x86_64-linux-gnu").join(name));
    }
    let Ok(built) = compiler.arg("-o").arg(&program).arg(&source).output() else {
        say("no C compiler `cc`: the offsets were not compared");
        return None;
    };
    assert!(built.status.success(), "{}: {}", headers.display(), String::from_utf8_lossy(&built.stderr));
    let printed = Command::new(&program).output().expect("the program runs").stdout;
    std::fs::remove_dir_all(&folder).expect("the folder goes");
    let lines = String::from_utf8(printed).expect("numbers");
    let pair = |line: &str| {
        let (name, value) = line.split_once('=').expect("name and value");
        (name.to_owned(), value.parse().expect("a number"))
    };
    Some(lines.lines().map(pair).collect())
}

fn say(what: &str) {
    use std::io::Write as _;
    // Past the harness, which swallows what a test that passes prints: nobody should think that it compared.
    writeln!(std::io::stderr(), "layout: {what}").expect("stderr");
}

/// Compiles for each set of headers, and compares what all versions have.
fn check(minor: u8, asked: &[Asked], compare: impl Fn(&BTreeMap<String, u64>) -> Layout) {
    let folders = headers(minor);
    if folders.is_empty() {
        say(&format!("no headers of Python 3.{minor}: its offsets were not compared"));
    }
    for headers in folders {
        let asked: Vec<Asked> = asked.iter().chain(&ASKED).copied().collect();
        let Some(of) = compiled(&headers, &asked, minor) else { return };
        let layout = compare(&of);
        let at = |name: &str| of[name] as usize;
        assert_eq!((at("object_type"), at("object_size")), (OBJECT_TYPE, OBJECT_SIZE));
        assert_eq!((at("type_name"), at("type_basic_size")), (TYPE_NAME, TYPE_BASIC_SIZE));
        assert_eq!((at("unit"), at("generator")), (2, usize::from(OWNED_BY_GENERATOR)));
        assert_eq!((at("kind"), at("is_compact"), at("is_ascii")), (7 << 2, 0x20, 0x40));
        assert!(at("locals") <= FRAME_BYTES_MAX && at("instructions") <= CODE_BYTES_MAX);
        if minor > 11 {
            assert_eq!(at("c_stack"), usize::from(OWNED_BY_C_STACK));
            assert_eq!(at("active") as u32, STATUS_ACTIVE);
        }
        let frame = Frame {
            bytes: at("locals"),
            code: at("code"),
            previous: at("previous"),
            instruction: at("instruction"),
            owner: at("owner"),
            entry: of.get("entry").map(|&at| at as usize),
        };
        let code = Code {
            filename: at("filename"),
            qualname: at("qualname"),
            linetable: at("linetable"),
            firstlineno: at("firstlineno"),
            first_traceable: at("traceable"),
            instructions: at("instructions"),
        };
        let string = StringObject {
            length: at("length"),
            state: at("state"),
            ascii: at("ascii"),
            compact: at("compact"),
        };
        let bytes = BytesObject { length: at("object_size"), values: at("values") };
        assert_eq!(
            layout,
            Layout { thread: layout.thread, frame, code, string, bytes },
            "{}",
            headers.display()
        );
        say(&format!("compared with {}", headers.display()));
    }
}

#[test]
fn the_table_of_3_11_is_that_of_its_headers() {
    check(11, &ASKED_3_11, |of| {
        let at = |name: &str| of[name] as usize;
        let current = Current::OnStack { c_frame: at("c_frame"), frame: at("current") };
        let held = Held::Running { thread_id: at("thread_id") };
        assert_eq!(PYTHON_3_11.thread, ThreadState { current, held });
        PYTHON_3_11
    });
}

#[test]
fn the_table_of_3_12_is_that_of_its_headers() {
    check(12, &ASKED_3_12, |of| {
        let at = |name: &str| of[name] as usize;
        let current = Current::OnStack { c_frame: at("c_frame"), frame: at("current") };
        let held = Held::Flag { offset: at("status"), mask: STATUS_ACTIVE };
        assert_eq!(PYTHON_3_12.thread, ThreadState { current, held });
        PYTHON_3_12
    });
}

#[test]
fn the_words_of_3_13_are_those_of_its_headers() {
    check(13, &ASKED_3_13, |of| {
        let at = |name: &str| of[name] as usize;
        assert_eq!(at("table"), 0);
        // The table as an interpreter with these headers has it.
        let mut words = [0; DEBUG_OFFSETS_WORDS];
        words[word::COOKIE] = COOKIE;
        words[word::VERSION] = 0x030d_00f0;
        for (word, name, value) in [
            (word::THREAD_CURRENT_FRAME, "word current_frame", "current"),
            (word::THREAD_STATUS, "word status", "status"),
            (word::FRAME_PREVIOUS, "word previous", "previous"),
            (word::FRAME_EXECUTABLE, "word executable", "code"),
            (word::FRAME_INSTRUCTION, "word instruction", "instruction"),
            (word::FRAME_LOCALS, "word locals", "locals"),
            (word::FRAME_OWNER, "word owner", "owner"),
            (word::CODE_FILENAME, "word filename", "filename"),
            (word::CODE_QUALNAME, "word qualname", "qualname"),
            (word::CODE_LINETABLE, "word linetable", "linetable"),
            (word::CODE_FIRSTLINENO, "word firstlineno", "firstlineno"),
            (word::CODE_INSTRUCTIONS, "word instructions", "instructions"),
            (word::OBJECT_TYPE, "word object_type", "object_type"),
            (word::BYTES_LENGTH, "word bytes_length", "object_size"),
            (word::BYTES_VALUES, "word bytes_values", "values"),
            (word::STRING_STATE, "word string_state", "state"),
            (word::STRING_LENGTH, "word string_length", "length"),
            (word::STRING_ASCII, "word string_ascii", "ascii"),
        ] {
            assert_eq!(at(name), word, "{name}");
            words[word] = of[value];
        }
        let fixed = (at("word cookie"), at("word version"), at("word free_threaded"));
        assert_eq!(fixed, (word::COOKIE, word::VERSION, word::FREE_THREADED));
        let layout = from_debug_offsets(&words).expect("the table is whole");
        let current = Current::InState { frame: at("current") };
        let held = Held::Flag { offset: at("status"), mask: STATUS_ACTIVE };
        assert_eq!(layout.thread, ThreadState { current, held });
        layout
    });
}

#[test]
fn a_table_of_another_kind_is_refused() {
    let mut words = [8; DEBUG_OFFSETS_WORDS];
    (words[word::COOKIE], words[word::VERSION], words[word::FREE_THREADED]) = (COOKIE, 0x030d_01f0, 0);
    assert!(from_debug_offsets(&words).is_ok());
    for (word, value, reason) in [
        (word::COOKIE, 0, Unsupported::Layout),
        (word::VERSION, 0x030e_00f0, Unsupported::Layout),
        (word::FREE_THREADED, 1, Unsupported::FreeThreaded),
    ] {
        let mut words = words;
        words[word] = value;
        assert_eq!(from_debug_offsets(&words), Err(reason));
    }
}

#[test]
fn types_of_another_build_are_refused() {
    let named = |name: &[u8; 4], basic_size| Type {
        address: 0x10_0000,
        name: Some(u32::from_le_bytes(*name)),
        basic_size,
    };
    let types = [named(b"code", 184), named(b"str\0", 80), named(b"byte", 33)];
    let [code, string, bytes] = &types;
    assert_eq!(PYTHON_3_11.check(code, string, bytes), Ok(()));
    assert_eq!(PYTHON_3_12.check(code, string, bytes), Err(Unsupported::Layout));
    assert_eq!(PYTHON_3_11.check(&named(b"code", 200), string, bytes), Err(Unsupported::Layout));
    assert_eq!(PYTHON_3_11.check(&Type { name: None, ..*code }, string, bytes), Err(Unsupported::Layout));
    let mut wild = PYTHON_3_11;
    wild.frame.previous = usize::MAX - 7;
    assert_eq!(wild.check(code, string, bytes), Err(Unsupported::Layout));
}
