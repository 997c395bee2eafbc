//! `plimsoll config` as it is shipped: which way of setting wins, what a wrong one is told, and that no
//! input makes it panic.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

const SIZE: &str = "a size in B, KiB, MiB, GiB or TiB from 1B to 16TiB, such as";

/// The binary with these arguments and no environment but this.
fn command<A: AsRef<OsStr>>(arguments: &[A], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.arg("config").args(arguments).env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
    command
}

fn run<A: AsRef<OsStr>>(arguments: &[A], environment: &[(&str, &str)]) -> Output {
    let output = command(arguments, environment).output().expect("the binary is built with the test");
    assert!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("all that is said is UTF-8")
}

/// What standard output says, of a run that is fine and says nothing else.
fn fine<A: AsRef<OsStr>>(arguments: &[A], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    text(&output.stdout)
}

/// The one line that is said, of a run that is refused before it has any data.
fn refused<A: AsRef<OsStr>>(arguments: &[A], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(64), ""), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said.strip_prefix("plimsoll: ").and_then(|said| said.strip_suffix('\n')).expect("one line of ours").into()
}

/// A file of this test, by its name and content.
fn file(name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).expect("the test's own folder can be written to");
    path
}

fn with_file(path: &std::path::Path) -> Vec<String> {
    vec!["--config".into(), path.display().to_string()]
}

/// The value and the origin of a setting in the text listing.
fn row(listing: &str, key: &str) -> (String, String) {
    let line =
        listing.lines().find(|line| line.split(' ').next() == Some(key)).expect("every setting is listed");
    let columns: Vec<&str> = line.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
    (columns[1].into(), columns[columns.len() - 1].into())
}

#[test]
fn the_flag_wins_then_the_environment_then_the_file_then_the_default() {
    let path = file(
        "precedence.toml",
        "memory_limit = \"64MiB\"\n[hub]\npolicy = \"drop_oldest\"\nqueue_events_max = 7\n\
         evict_after = \"1s\"\n",
    );
    let mut arguments = with_file(&path);
    arguments.extend(["--hub-policy".into(), "keep_latest".into()]);
    let environment = [("PLIMSOLL_HUB_POLICY", "drop_newest"), ("PLIMSOLL_HUB_QUEUE_EVENTS_MAX", "8")];
    let listing = fine(&arguments, &environment);
    let path = path.display();
    for (key, value, origin) in [
        ("hub.policy", "keep_latest", "flag --hub-policy".to_string()),
        ("hub.queue_events_max", "8", "environment PLIMSOLL_HUB_QUEUE_EVENTS_MAX".into()),
        ("hub.evict_after", "1s", format!("file {path}:5")),
        ("memory_limit", "64MiB", format!("file {path}:1")),
        ("pool.limit", "16MiB", "share of memory_limit".into()),
        ("max_connections", "1000", "default".into()),
    ] {
        assert_eq!(row(&listing, key), (value.to_string(), origin), "{key}");
    }
    let listing = fine(&[] as &[&str], &[("PLIMSOLL_CONFIG", &path.to_string())]);
    assert_eq!(row(&listing, "hub.policy").0, "drop_oldest");
}

#[test]
fn an_unknown_name_is_refused_in_each_of_the_three() {
    assert_eq!(
        refused(&["--hub-polcy", "evict"], &[]),
        "unknown argument `--hub-polcy`; did you mean `--hub-policy`? add --help to see what there is"
    );
    let lists = "`plimsoll config --markdown` lists every setting";
    assert_eq!(
        refused(&[] as &[&str], &[("PLIMSOLL_MEMORY_LIMT", "64MiB")]),
        format!(
            "unknown setting `PLIMSOLL_MEMORY_LIMT` (environment PLIMSOLL_MEMORY_LIMT); did you mean \
             `PLIMSOLL_MEMORY_LIMIT`? {lists}"
        )
    );
    let path = file("unknown.toml", "# limits\n[hub]\npolcy = \"evict\"\n");
    assert_eq!(
        refused(&with_file(&path), &[]),
        format!(
            "unknown setting `hub.polcy` (file {}:3); did you mean `hub.policy`? {lists}",
            path.display()
        )
    );
}

#[test]
fn a_wrong_type_is_refused_in_each_of_the_three() {
    assert_eq!(
        refused(&["--memory-limit", "much"], &[]),
        format!("wrong value for `memory_limit` (flag --memory-limit): found `much`, expected {SIZE} 512MiB")
    );
    assert_eq!(
        refused(&[] as &[&str], &[("PLIMSOLL_MEMORY_LIMIT", "64MB")]),
        format!(
            "wrong value for `memory_limit` (environment PLIMSOLL_MEMORY_LIMIT): found `64MB`, expected \
             {SIZE} 512MiB"
        )
    );
    let path = file("type.toml", "\nmemory_limit = true\n");
    assert_eq!(
        refused(&with_file(&path), &[]),
        format!(
            "wrong value for `memory_limit` (file {}:2): found `true`, expected {SIZE} \"512MiB\"",
            path.display()
        )
    );
    assert!(refused(&["--hub-queue-events-max", "-5"], &[]).contains("found `-5`"));
    assert!(refused(&["--addr"], &[]).contains("a value is required for '--addr <VALUE>'"));
    assert!(refused(&["--addr", "a", "--addr", "b"], &[]).contains("cannot be used multiple times"));
}

#[test]
fn a_settings_file_that_cannot_be_used_says_why() {
    let none = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("none.toml");
    let said = refused(&with_file(&none), &[]);
    assert!(said.contains("none.toml` that --config names: "), "{said}");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    assert!(refused(&with_file(&folder), &[]).starts_with("cannot use the settings file"));
    let path = file("bytes.toml", b"addr = \"127.0.0.1:0\"\n# \xff\n");
    assert!(refused(&with_file(&path), &[]).contains("line 2 is not UTF-8"));
    let path = file("huge.toml", vec![b'#'; (1 << 20) + 1]);
    assert!(refused(&with_file(&path), &[]).contains("it is longer than 1MiB"));
    let path = file("deep.toml", "a = ".to_string() + &"[".repeat(1 << 19));
    assert!(refused(&with_file(&path), &[]).starts_with("not well-formed TOML"));
    let path = file("unquoted.toml", "memory_limit = 64MiB\n");
    let said = refused(&with_file(&path), &[]);
    assert!(said.contains("unquoted.toml:1") && said.contains("sizes and times in quotes"), "{said}");
}

#[cfg(unix)]
#[test]
fn what_is_not_utf_8_is_refused_and_never_obeyed_by_the_terminal() {
    use std::os::unix::ffi::OsStrExt;
    let said = refused(&[OsStr::new("--addr"), OsStr::from_bytes(b"\xff\x1b[31m")], &[]);
    assert!(said.contains("which is not UTF-8") && !said.contains('\u{1b}'), "{said}");
    let said = refused(&[OsStr::from_bytes(b"--\xff\n")], &[]);
    assert!(!said.contains('\n'), "{said}");
}

#[test]
fn limits_that_do_not_fit_are_listed_and_refused_with_the_formula() {
    let output = run(&["--memory-limit", "1MiB"], &[]);
    assert_eq!(output.status.code(), Some(64));
    let said = text(&output.stderr);
    assert!(said.contains("limits multiplied exceed the budget: pool 3MiB + hub 2.6MiB"), "{said}");
    assert!(said.contains("raise --memory-limit to at least 35MiB"), "{said}");
    let listing = text(&output.stdout);
    assert_eq!(row(&listing, "memory_limit"), ("1MiB".into(), "flag --memory-limit".into()));
    assert_eq!(row(&listing, "pool.limit").0, "unset");
    fine(&["--memory-limit", "35MiB"], &[]);
}

#[test]
fn the_json_says_value_unit_and_origin_of_every_setting() {
    let report: Json =
        serde_json::from_str(&fine(&["--json", "--hub-heartbeat", "90s"], &[])).expect("it is JSON");
    assert_eq!(report["schema"], "plimsoll.config/1");
    let settings = report["settings"].as_array().expect("a list");
    for setting in settings {
        for name in ["key", "value", "unit", "origin", "default", "env", "flag", "doc"] {
            assert!(setting.get(name).is_some(), "{name} of {setting}");
        }
    }
    let find =
        |key: &str| settings.iter().find(|setting| setting["key"] == key).expect("every setting is listed");
    let heartbeat = find("hub.heartbeat");
    assert_eq!((&heartbeat["value"], &heartbeat["unit"]), (&90_000.into(), &"ms".into()));
    assert_eq!(
        (&heartbeat["default"], &heartbeat["origin"]),
        (&15_000.into(), &"flag --hub-heartbeat".into())
    );
    assert_eq!(find("pool.limit")["value"], 100 << 20);
    assert_eq!(find("max_connections")["unit"], "streams");
}

#[test]
fn the_page_is_the_one_in_the_tree_whatever_the_environment_says() {
    let wrong = [("PLIMSOLL_NONSENSE", "1"), ("PLIMSOLL_CONFIG", "/no/such/file")];
    let page = fine(&["--markdown"], &wrong);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/limits.md");
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == page,
        "docs/limits.md is not what the table says: `plimsoll config --markdown > docs/limits.md`"
    );
}

#[test]
fn help_and_version_are_data_and_fine() {
    let short = fine(&["-h"], &[]);
    let long = fine(&["--help"], &[]);
    assert!(short.contains("--memory-limit") && !short.contains("--hub-policy"), "{short}");
    assert!(long.contains("--hub-policy") && long.contains("PLIMSOLL_HUB_POLICY"), "{long}");
    let plain = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_plimsoll")).args(arguments).env_clear().output();
        output.expect("the binary is built with the test")
    };
    let version = plain(&["--version"]);
    assert_eq!(
        (version.status.code(), text(&version.stdout)),
        (Some(0), format!("plimsoll {}\n", env!("CARGO_PKG_VERSION")))
    );
    let help = plain(&["--help"]);
    assert!(help.status.success() && text(&help.stdout).contains("64  wrong usage"));
    let nothing = plain(&[]);
    assert_eq!((nothing.status.code(), nothing.stdout.len()), (Some(64), 0));
    let mistyped = plain(&["cofnig"]);
    assert_eq!(mistyped.status.code(), Some(64));
    assert!(text(&mistyped.stderr).contains("unknown verb `cofnig`; did you mean `config`?"));
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    for arguments in [&["--json"][..], &["--markdown"], &["--help"], &[]] {
        let (reader, writer) = std::io::pipe().expect("the system has a pipe left");
        drop(reader);
        let output = command(arguments, &[]).stdout(writer).stderr(Stdio::piped()).output();
        let output = output.expect("the binary is built with the test");
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_is_said() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has one");
    let output = command(&["--json"], &[]).stdout(full).stderr(Stdio::piped()).output();
    let output = output.expect("the binary is built with the test");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("plimsoll: cannot write to standard output: "));
}

#[test]
fn a_log_line_is_on_standard_error_in_the_format_that_was_set() {
    let output = run(&["--log-level", "debug", "--log-format", "json"], &[]);
    assert!(output.status.success());
    let said = text(&output.stderr);
    let line: Json = serde_json::from_str(&said).expect("one line of JSON");
    assert_eq!(
        (&line["level"], &line["message"], &line["given"]),
        (&"DEBUG".into(), &"settings loaded".into(), &2.into())
    );
    let output = run(&["--log-level", "debug"], &[]);
    let said = text(&output.stderr);
    assert!(said.contains(" DEBUG plimsoll::config: settings loaded ") && !said.contains('\u{1b}'), "{said}");
}
