//! `plimsoll report` as it is shipped: what it prints, what it writes, and what it says of every file that is no
//! profile. Needs `go` (Debian: golang-go) and `chromium`; without them the tests fail and say so.

mod report_kit;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

use plimsoll_verdict::{Profile, pprof, read};
use report_kit::heap::{MIB, of_function, of_functions, service};
use report_kit::{Ran, Workshop, json_of};
use serde_json::{Value as Json, json};

fn report(workshop: &Workshop, rest: &[&str]) -> Ran {
    workshop.run(&[&["report"][..], rest].concat())
}

#[test]
fn the_table_names_the_lines_and_how_far_to_trust_them() {
    let workshop = Workshop::new("report-table");
    let file = workshop.profile("heap.json", &service());
    let table = report(&workshop, &[&file]).fine();
    for there in [
        "live       49MiB in 3810 objects, ± 4.9 % from 420 samples\n",
        "taken      2026-11-21T13:05:38Z, 3600.5 s after the start, by the test\n",
        "program    /opt/app/bin/app, build 0123456789abcdef\n",
        "interval   one sample in 512KiB\n",
        "resident   80MiB, 90.0 % of it explained\n",
        "stacks by eh_frame",
        "LOST       not followed: 0 large, 2 small; 0 without their stack\n",
        "cut        50 samples (1.0 %) have",
    ] {
        assert!(table.contains(there), "`{there}` is not in:\n{table}");
    }
    let rows: Vec<&str> = table.lines().skip_while(|line| !line.ends_with("allocated by")).skip(1).collect();
    let squeezed: Vec<String> =
        rows.iter().map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        squeezed,
        [
            "40MiB 3000 5.0 % 81.6 % <app::cache::Cache<K, V>>::fill src/cache.rs:42",
            "in alloc::vec::Vec<T,A>::push library/alloc/src/vec/mod.rs:2000",
            "from app::main src/main.rs:10",
            "8MiB 800 25.0 % 16.3 % app::log::Log<[u8; 4]>::append src/log.rs:17",
            "from app::main src/main.rs:10",
            "1MiB 10 50.0 % 2.0 % app::main src/main.rs:10",
            "in bytes::BytesMut::reserve bytes-1.12.1/src/lib.rs:700",
        ],
        "{table}"
    );
}

#[test]
fn every_kind_of_profile_is_read_also_from_standard_input() {
    let workshop = Workshop::new("report-kinds");
    let profile = service();
    let mut packed = Vec::new();
    pprof::write(&profile, &mut packed).expect("memory takes what is written");
    for bytes in [json_of(&profile), packed] {
        let file = workshop.write("heap", &bytes);
        let of_file = report(&workshop, &[&file]).fine();
        assert!(of_file.contains("<app::cache::Cache<K, V>>::fill  src/cache.rs:42"), "{of_file}");
        assert_eq!(workshop.run_with(&["report", "-"], &bytes).fine(), of_file);
    }
}

#[test]
fn json_is_for_scripts() {
    let workshop = Workshop::new("report-json");
    let file = workshop.profile("heap.json", &service());
    let text = report(&workshop, &[&file, "--json", "--top", "1", "--metric", "allocated-bytes"]).fine();
    let found: Json = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(found["schema"], "plimsoll.report/1");
    assert_eq!((&found["metric"], &found["sites_count"]), (&json!("allocated_bytes"), &json!(3)));
    assert_eq!(found["left_out"], json!({ "sites": 2, "bytes": 17 * MIB }));
    assert_eq!(found["status"]["unwind_method"], "eh_frame");
    assert_eq!(found["memory_explained_bytes"], 72 * MIB);
    let sites = found["sites"].as_array().expect("a list");
    assert_eq!(sites.len(), 1);
    let site = &sites[0];
    let own = json!({
        "function": "<app::cache::Cache<K, V>>::fill", "file": "src/cache.rs", "line": 42, "owner": "program"
    });
    assert_eq!(site["own"], own);
    assert_eq!((&site["live_bytes"], &site["freed_bytes"]), (&json!(40 * MIB), &json!(10 * MIB)));
    assert_eq!(site["live_bytes_by_age"].as_array().map(Vec::len), Some(10));
    assert_eq!(site["stack"].as_array().map(Vec::len), Some(4));
}

#[test]
fn files_that_are_asked_for_are_written_whole() {
    let workshop = Workshop::new("report-files");
    let file = workshop.profile("heap.json", &service());
    let wanted = ["--flamegraph", "o.svg", "--pprof", "o.pb.gz", "--html", "o.html", "--collapsed", "o.txt"];
    let table = report(&workshop, &[&[file.as_str()][..], &wanted].concat()).fine();
    assert_eq!(table, report(&workshop, &[&file]).fine(), "the table is printed all the same");
    assert_eq!(
        workshop.files(),
        ["heap.json", "o.html", "o.pb.gz", "o.svg", "o.txt"],
        "and nothing is left over"
    );
    assert!(workshop.read("o.svg").trim_end().ends_with("</svg>"));
    assert!(workshop.read("o.html").ends_with("</html>\n"));
    let lines = workshop.read("o.txt");
    assert!(lines.contains("app::main;app::log::Log<[u8: 4]>::append;__rust_alloc 8388608\n"), "{lines}");
    let back = read(&fs::read(workshop.path("o.pb.gz")).expect("it was written")).expect("it is pprof");
    assert_eq!(back.live(), service().live());

    // The metric is that of all of them.
    report(&workshop, &[&file, "--metric", "live_objects", "--collapsed", "o.txt", "--flamegraph", "o.svg"])
        .fine();
    assert!(workshop.read("o.txt").contains("append;__rust_alloc 800\n"));
    assert!(workshop.read("o.svg").contains("live objects: 3810"));
}

#[test]
fn go_opens_what_is_written_for_it() {
    let workshop = Workshop::new("report-go");
    let file = workshop.profile("heap.json", &service());
    report(&workshop, &[&file, "--pprof", "o.pb.gz"]).fine();
    let top = workshop.pprof(&["-top", "-unit=MB", "o.pb.gz"]);
    let squeezed: Vec<String> =
        top.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in ["40MB 81.63% 81.63% 40MB 81.63% alloc::vec::Vec<T,A>::push", "8MB 16.33% 97.96% 8MB 16.33%"]
    {
        assert!(squeezed.iter().any(|there| there.starts_with(line)), "`{line}` is not in:\n{top}");
    }
    assert!(!top.contains("__rust_alloc"), "the allocator is left out: {top}");
}

/// What the page's script has made of its table: one line for each row that is shown.
const ROWS: &str = "[...document.querySelectorAll('tbody')].filter(b => !b.hidden)\
                    .map(b => b.querySelector('.open').textContent).join('|')";

/// The text of the element `id` that a driver has put into a page.
fn noted<'a>(dom: &'a str, id: &str) -> &'a str {
    let begin = format!("<output id=\"{id}\">");
    let rest = dom.split_once(&begin).unwrap_or_else(|| panic!("no {id} in {dom}")).1;
    rest.split_once("</output>").map_or(rest, |(text, _)| text)
}

/// A function for drivers: puts a note into the page.
const NOTE: &str = "const note = (id, text) => { const o = document.createElement('output'); o.id = id; \
                    o.textContent = text; document.body.append(o) };";

#[test]
fn a_browser_sorts_opens_and_zooms() {
    let workshop = Workshop::new("report-browser");
    let file = workshop.profile("heap.json", &service());
    report(&workshop, &[&file, "--html", "o.html"]).fine();
    let script = format!(
        "{NOTE} const head = name => [...document.querySelectorAll('th button')].find(b => b.textContent === name);\
         const objects = head('Objects'); const line = head('Line of the program');\
         note('first', {ROWS});\
         objects.click(); objects.click(); note('ascending', {ROWS});\
         note('marked', objects.closest('th').getAttribute('aria-sort') + document.querySelectorAll('[aria-sort]').length);\
         line.click(); note('named', {ROWS});\
         const open = document.querySelector('.open'); const row = document.getElementById(open.getAttribute('aria-controls'));\
         note('closed', open.getAttribute('aria-expanded') + row.hidden);\
         open.click(); note('opened', open.getAttribute('aria-expanded') + row.hidden + row.offsetHeight);\
         note('stack', [...row.querySelectorAll('li')].map(l => l.textContent).join('|'));\
         open.focus(); note('focus', document.activeElement === open);\
         const find = document.getElementById('find'); find.value = 'LOG.rs'; find.dispatchEvent(new Event('input'));\
         note('found', {ROWS}); note('count', document.getElementById('count').textContent);\
         const box = [...document.querySelectorAll('#frames > g')].find(g => g.textContent.includes('append'));\
         note('before', box.querySelector('rect').getAttribute('width'));\
         box.querySelector('rect').dispatchEvent(new MouseEvent('click', {{bubbles: true}}));\
         note('zoomed', box.querySelector('rect').getAttribute('width'));"
    );
    let dom = workshop.browse("o.html", &script);
    let [cache, log, main] =
        ["&lt;app::cache::Cache&lt;K, V&gt;&gt;::fill", "app::log::Log&lt;[u8; 4]&gt;::append", "app::main"];
    assert_eq!(noted(&dom, "first"), [cache, log, main].join("|"));
    assert_eq!(noted(&dom, "ascending"), [main, log, cache].join("|"));
    assert_eq!(noted(&dom, "marked"), "ascending1");
    assert_eq!(noted(&dom, "named"), [cache, log, main].join("|"));
    assert_eq!(noted(&dom, "closed"), "falsetrue");
    let height =
        noted(&dom, "opened").strip_prefix("truefalse").and_then(|height| height.parse::<u32>().ok());
    assert!(height.is_some_and(|height| height > 50), "{}", noted(&dom, "opened"));
    let stack = noted(&dom, "stack");
    assert_eq!(stack.split('|').count(), 4, "{stack}");
    assert!(stack.starts_with("__rust_alloc|alloc::vec::Vec&lt;T,A&gt;::push library/"), "{stack}");
    assert!(stack.ends_with("|app::main src/main.rs:10"), "{stack}");
    assert_eq!(noted(&dom, "focus"), "true");
    assert_eq!((noted(&dom, "found"), noted(&dom, "count")), (log, "1 found"));
    // The picture's own script.
    assert!(noted(&dom, "before").starts_with("16.32"), "{}", noted(&dom, "before"));
    assert_eq!(noted(&dom, "zoomed"), "100.0000%");
}

#[test]
fn a_browser_shows_the_first_rows_and_then_all() {
    let workshop = Workshop::new("report-rows");
    let file = workshop.profile("heap.json", &of_functions(600));
    report(&workshop, &[&file, "--html", "o.html"]).fine();
    let script = format!(
        "{NOTE} const shown = () => [...document.querySelectorAll('tbody')].filter(b => !b.hidden).length;\
         const all = document.getElementById('all'); note('first', shown() + ',' + all.textContent);\
         all.click(); note('all', shown() + ',' + all.hidden);"
    );
    let dom = workshop.browse("o.html", &script);
    assert_eq!(noted(&dom, "first"), "25,Show all 500 rows");
    assert_eq!(noted(&dom, "all"), "500,true");
    assert!(dom.contains("100 more lines are left out, with 4.9MiB live"), "the end says what is not there");
}

#[test]
fn a_hostile_name_runs_nothing() {
    let workshop = Workshop::new("report-hostile");
    let evil =
        "</script><script>document.title='EVIL'</script><img src=x onerror=\"document.title='EVIL'\">]]>";
    let file = workshop.profile("heap.json", &of_function(evil));
    report(&workshop, &[&file, "--html", "o.html", "--flamegraph", "o.svg"]).fine();
    let dom = workshop.browse("o.html", "document.querySelector('.open').click()");
    assert!(dom.contains("<title>Heap profile</title>"), "{dom}");
    assert!(!dom.contains("<img") && !dom.contains("<script>document"), "{dom}");
    assert!(dom.contains("&lt;img src=x"), "the name is there");
}

#[test]
fn what_is_no_file_is_written_as_it_is() {
    let workshop = Workshop::new("report-special");
    let file = workshop.profile("heap.json", &service());
    let both = report(&workshop, &[&file, "--collapsed", "/dev/stdout"]).fine();
    let table = report(&workshop, &[&file]).fine();
    let lines = both.strip_suffix(&table).expect("the table comes after");
    assert_eq!(lines.lines().count(), 3, "{lines}");

    // The shell may have opened a file there: the table must not be written over it.
    let into = fs::File::create(workshop.path("out.txt")).expect("the folder can be written to");
    let status = workshop.command(&["report", &file, "--collapsed", "/dev/stdout"]).stdout(into).status();
    assert!(status.expect("it is built with the test").success());
    assert_eq!(workshop.read("out.txt"), both);

    let full = report(&workshop, &[&file, "--html", "/dev/full"]).refused(2);
    assert_eq!(full, "cannot write /dev/full: the disk is full");
    for each in ["--flamegraph", "--pprof", "--collapsed"] {
        report(&workshop, &[&file, each, "/dev/full"]).refused(2);
    }
    report(&workshop, &[&file, "--html", "/dev/null"]).fine();
}

#[test]
fn a_file_that_was_there_keeps_its_place_and_permissions() {
    let workshop = Workshop::new("report-replace");
    let file = workshop.profile("heap.json", &service());
    let old = workshop.write("real.txt", "old");
    fs::set_permissions(&old, fs::Permissions::from_mode(0o640)).expect("it is our own file");
    symlink(&old, workshop.path("link.txt")).expect("the folder can be written to");
    report(&workshop, &[&file, "--collapsed", "link.txt"]).fine();
    assert!(
        fs::symlink_metadata(workshop.path("link.txt")).is_ok_and(|it| it.is_symlink()),
        "the link stays"
    );
    assert!(workshop.read("real.txt").contains("app::main"));
    let mode = fs::metadata(&old).map(|it| it.permissions().mode() & 0o777);
    assert_eq!(mode.expect("it is there"), 0o640);

    // What fails while it is drawn leaves the old one.
    let nothing =
        workshop.profile("nothing.json", &Profile::from_parts(Default::default()).expect("no parts fit"));
    fs::write(&old, "old").expect("it is our own file");
    let error = report(&workshop, &[&nothing, "--collapsed", "link.txt"]).refused(2);
    assert!(error.contains("does not have live bytes"), "{error}");
    assert_eq!(workshop.read("real.txt"), "old");
}

#[test]
fn where_nothing_can_be_written_is_said() {
    let workshop = Workshop::new("report-unwritable");
    let file = workshop.profile("heap.json", &service());
    let error = report(&workshop, &[&file, "--html", "no/such/o.html"]).refused(2);
    assert_eq!(error, "cannot write no/such/o.html: there is no such folder");
    let error = report(&workshop, &[&file, "--html", "tmp"]).refused(2);
    assert_eq!(error, "cannot write tmp: it is a folder");
    let error = report(&workshop, &[&file, "--html", "o", "--pprof", "o"]).refused(64);
    assert_eq!(error, "--pprof and --html name the same file");
    assert_eq!(workshop.files(), ["heap.json"]);
}

/// The one line that is said of `bytes`.
fn of_bytes(workshop: &Workshop, bytes: &[u8]) -> String {
    let file = workshop.write("bad", bytes);
    let said = report(workshop, &[&file]).refused(2);
    said.strip_prefix(&format!("{file} is no heap profile: ")).unwrap_or(&said).to_owned()
}

#[test]
fn each_bad_file_is_told_what_it_is() {
    let workshop = Workshop::new("report-bad");
    assert!(of_bytes(&workshop, b"").starts_with("the file is empty"));
    let whole = json_of(&service());
    let cut = of_bytes(&workshop, &whole[..whole.len() / 2]);
    assert!(cut.starts_with("this is no profile in JSON, or a damaged one: EOF"), "{cut}");
    let mut packed = Vec::new();
    pprof::write(&service(), &mut packed).expect("memory takes what is written");
    let cut = of_bytes(&workshop, &packed[..packed.len() / 2]);
    assert!(cut.starts_with("the gzip file ends too early"), "{cut}");
    for (bytes, says) in [
        (&b"\x7fELF\x02\x01\x01"[..], "this is a program or library (ELF)"),
        (b"heap_v2/524288\n", "a heap profile of jemalloc as text"),
        (b"Dear Sir or Madam,\n", "this is text"),
        (b"{\"schema\":\"plimsoll.heap/9\"}", "the file's schema is `plimsoll.heap/9`"),
        (b"\x00\x01\x02\x03", "no pprof file"),
        (b"PLIMSOLL-IMAGE/1", "the image is damaged: it was cut"),
    ] {
        let said = of_bytes(&workshop, bytes);
        assert!(said.contains(says), "{said}");
    }
    let said = workshop.run_with(&["report", "-"], b"").refused(2);
    assert!(said.starts_with("standard input is no heap profile: the file is empty"), "{said}");
}

#[test]
fn what_cannot_be_read_is_said() {
    let workshop = Workshop::new("report-unread");
    assert_eq!(report(&workshop, &["none"]).refused(2), "cannot read none: there is no such file");
    assert_eq!(
        report(&workshop, &["tmp"]).refused(2),
        "cannot read tmp: it is a folder; give a profile in it"
    );
    let file = workshop.profile("heap.json", &service());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).expect("it is our own file");
    // Root may read everything.
    if fs::File::open(&file).is_err() {
        let said = report(&workshop, &[&file]).refused(2);
        assert!(said.ends_with("its permissions do not let this user"), "{said}");
    }
}

#[test]
fn what_the_profile_does_not_have_is_said() {
    let workshop = Workshop::new("report-metric");
    let mut parts = service().into_parts();
    parts.header.metrics = vec![plimsoll_verdict::Metric::LiveBytes];
    let file = workshop.profile("heap.json", &Profile::from_parts(parts).expect("it was one"));
    let said = report(&workshop, &[&file, "--metric", "allocated_bytes", "--html", "o.html"]).refused(2);
    assert_eq!(said, "the profile does not have allocated bytes; it has live bytes: ask for one of these");
    assert_eq!(workshop.files(), ["heap.json"]);
}

#[test]
fn wrong_usage_is_one_line() {
    let workshop = Workshop::new("report-usage");
    for wrong in [
        &[][..],
        &["x", "--metric", "bytes"],
        &["x", "--top", "-1"],
        &["x", "--top", "many"],
        &["x", "--flame", "o"],
        &["x", "y"],
        &["x", "--html"],
    ] {
        report(&workshop, wrong).refused(64);
    }
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let workshop = Workshop::new("report-head");
    // More than a pipe holds.
    let file = workshop.profile("heap.json", &of_functions(2000));
    let arguments = ["report", &file, "--top", "2000", "--collapsed", "/dev/stdout"];
    let mut child = workshop
        .command(&arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it is built with the test");
    drop(child.stdout.take());
    let ran = Ran::new(&child.wait_with_output().expect("it is our own child"));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}
