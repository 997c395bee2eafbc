//! The page: what must be on it, what must not, and that no name of a stranger becomes a part of it.

mod kit;

use kit::{Heap, MIB, bytes, random, service, text};
use plimsoll_verdict::html::{self, HtmlOptions};
use plimsoll_verdict::report::{self, ReportOptions};
use plimsoll_verdict::{DiffOptions, Level, Metric, Profile, WriteError, diff, pprof, read};

fn page(profile: &Profile) -> String {
    text(|out| html::write(profile, &HtmlOptions::default(), out))
}

#[test]
fn the_page_says_what_the_table_says() {
    let profile = service().profile().with_origin("plimsoll test");
    let page = page(&profile);
    for there in [
        "<h1>Heap of app</h1>",
        "49.0MiB live</strong> in 3811 objects, ± 4.9 % from 421 samples",
        "<dd>/opt/app/bin/app</dd>",
        "<dd>0123456789abcdef</dd>",
        "<dd>2026-11-21T13:05:38Z</dd>",
        "<dd>60 min (3600.5 s)</dd>",
        "<dd>one sample in 512KiB, adjusted to its cost</dd>",
        "<dd>eh_frame</dd>",
        "<dd>1 samples (0.0 %)</dd>",
        "<div class=warning><dt>Samples lost</dt><dd>0 large and 2 small not followed",
        "80MiB, of which 90.0 % is explained",
        "app::cache::Cache::fill</button> <span class=file>src/cache.rs:42</span>",
        "in alloc::vec::Vec&lt;T,A&gt;::push <span class=file>library/alloc/src/vec/mod.rs:2000</span>",
        "<svg ",
        "4 of 4 lines",
    ] {
        assert!(page.contains(there), "`{there}` is not in:\n{page}");
    }
    // Nothing is fetched, and the browser is told not to.
    for fetched in ["src=", "href=\"http", "url(http", "@import", "fetch(", "<link"] {
        assert!(!page.contains(fetched), "{fetched}");
    }
    assert!(page.contains("default-src 'none'"));
    assert_eq!(page.matches("<svg version=").count(), 1, "the picture's script takes the first of all");
    assert_eq!(page, self::page(&service().profile().with_origin("plimsoll test")), "the same each time");
}

#[test]
fn a_hostile_name_stays_a_name() {
    let evil =
        "</script></title></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u{202e}\n]]>";
    let mut heap = Heap::default();
    heap.names.name(0x1001, &[(evil, evil, 3)]);
    heap.stack(&[0x1001], (1, MIB), (0, 0), 1);
    heap.snapshot.modules = service().snapshot.modules;
    for module in &mut heap.snapshot.modules {
        module.path = evil.to_owned();
        module.build_id = evil.to_owned();
    }
    heap.snapshot.memory = service().snapshot.memory;
    let mut parts = heap.profile().with_origin(evil).into_parts();
    if let (Some(status), Some(memory)) = (&mut parts.header.status, &mut parts.header.memory) {
        status.unwind_method = evil.to_owned();
        memory.parts[0].name = evil.to_owned();
    }
    let profile = Profile::from_parts(parts).expect("it was one");
    let compared = diff(
        &Heap::default().profile(),
        &profile,
        &DiffOptions { level: Level::Stack, ..DiffOptions::default() },
    );
    let compared = text(|out| html::write_diff(&compared, &HtmlOptions::default(), out));
    for page in [page(&profile), compared] {
        let bare = page.replace("]]>", "").replace("<![CDATA[", "");
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
        assert!(!page.contains('\u{202e}'), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
        // As many ends as the page and its picture have themselves.
        let pictures = page.matches("<svg version=").count();
        assert_eq!(bare.matches("</script>").count(), 1 + pictures, "{page}");
    }
}

#[test]
fn a_page_is_bounded_and_says_what_is_not_on_it() {
    let mut heap = Heap::default();
    let names: Vec<String> = (0..700).map(|at| format!("app::f{at}")).collect();
    for (at, name) in names.iter().enumerate() {
        heap.names.name(0x1001 + at as u64, &[(name, "src/a.rs", 1)]);
        heap.stack(&[0x1001 + at as u64], (1, 4096), (0, 0), 1);
    }
    let path: Vec<u64> = (0..400).map(|at| 0x1001 + at).collect();
    heap.stack(&path, (1, MIB), (0, 0), 1);
    let page = page(&heap.profile());
    assert_eq!(page.matches("<tbody>").count(), 500);
    assert!(page.contains("500 of 700 lines"), "what is there");
    assert!(page.contains("200 more lines are left out, with 800KiB live"), "what is not: {page}");
    assert!(page.contains("<p>272 more callers are left out.</p>"));

    let compared = diff(&Heap::default().profile(), &heap.profile(), &DiffOptions::default());
    let compared = text(|out| html::write_diff(&compared, &HtmlOptions::default(), out));
    assert_eq!(compared.matches("<tbody>").count(), 500);
    assert!(compared.contains("200 more that grew less, or shrank, are left out"), "{compared}");
}

#[test]
fn a_page_has_what_the_profile_has() {
    let pprof = bytes(|out| pprof::write(&service().profile(), out));
    let plain = page(&read(&pprof).expect("we wrote it"));
    assert!(
        !plain.contains("class=ages") && !plain.contains("Resident memory"),
        "pprof has no place for these"
    );
    assert!(page(&service().profile()).contains("class=ages"));

    let nothing = page(&Heap::default().profile());
    assert!(nothing.contains("There is nothing to draw: live bytes are zero."), "{nothing}");

    let mut parts = service().profile().into_parts();
    parts.header.metrics = vec![Metric::LiveBytes];
    let live_only = Profile::from_parts(parts).expect("it was one");
    let page = page(&live_only);
    assert!(!page.contains(">Allocated</button>") && !page.contains(">Freed</button>"), "{page}");
    let options = HtmlOptions { metric: Metric::AllocatedBytes, ..HtmlOptions::default() };
    let error = html::write(&live_only, &options, Vec::new()).expect_err("it is not there");
    assert!(matches!(error, WriteError::NotMeasured { .. }), "{error}");
}

/// Every row has the cells of the head, so that a column is what it says.
#[test]
fn pages_of_random_heaps_are_whole() {
    for seed in 0..100 {
        let (one, two) = (random(seed).profile(), random(seed + 1000).profile());
        for metric in Metric::ALL {
            let options = HtmlOptions { metric, ..HtmlOptions::default() };
            let page = text(|out| html::write(&one, &options, out));
            whole(&page);
            let compared = diff(&one, &two, &DiffOptions { metric, level: Level::Stack });
            whole(&text(|out| html::write_diff(&compared, &options, out)));
        }
    }
}

fn whole(page: &str) {
    assert!(page.ends_with("</html>\n") && page.matches("aria-sort=descending>").count() <= 1);
    let columns = page.matches("<th scope=col").count();
    for body in page.split("<tbody>").skip(1) {
        let row = body.split("</tr>").next().unwrap_or_default();
        assert_eq!(row.matches("<td").count(), columns, "{row}");
    }
}

#[test]
fn the_report_names_and_adds_up() {
    let profile = service().profile();
    let options = ReportOptions { top: 2, ..ReportOptions::default() };
    let file = text(|out| report::write(&profile, &options, out));
    for there in [
        "{\"schema\":\"plimsoll.report/1\",\"metric\":\"live_bytes\",",
        "\"program\":\"/opt/app/bin/app\",",
        "\"memory_explained_bytes\":75497472,",
        "\"sites_count\":4,\"left_out\":{\"sites\":2,\"bytes\":1049088},",
        "{\"own\":{\"function\":\"app::cache::Cache::fill\",\"file\":\"src/cache.rs\",\"line\":42,\"owner\":\"program\"},",
        "\"live_bytes\":41943040,\"live_objects\":3000,\"allocated_bytes\":52428800,",
        "\"stacks_count\":1,\"stack_truncated\":false,\"stack\":[{",
    ] {
        assert!(file.contains(there), "`{there}` is not in {file}");
    }
    for seed in 0..100 {
        let file = bytes(|out| report::write(&random(seed).profile(), &ReportOptions::default(), out));
        assert!(file.ends_with(b"}\n"), "seed {seed}");
    }
}
