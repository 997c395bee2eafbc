//! The page `docs/limits.md`, made from the table and from nothing of this machine.
//!
//! A page that is written by hand is wrong from the second change on; this one is compared with the table
//! by a test.

use std::fmt::Write as _;

use crate::plan;
use crate::settings::declare::Entry;
use crate::settings::environment::NOT_SETTINGS;
use crate::settings::file::FILE_BYTES_MAX;
use crate::settings::listing::shown;
use crate::settings::table::{SECTIONS, TABLE};
use crate::settings::topics::RULES_MAX;

/// The page: every setting with its names, default, unit, range, meaning and memory cost.
pub fn markdown() -> String {
    let mut page = head();
    section(&mut page, "", "For the whole service.");
    for (name, about) in SECTIONS {
        section(&mut page, name, about.trim());
    }
    page += &fixed();
    page
}

fn head() -> String {
    let ignored = NOT_SETTINGS.map(|name| format!("`{name}`")).join(" and ");
    format!(
        "# Limits and settings

Made by `plimsoll config --markdown`; do not edit it by hand.

Each setting has three names: a key in the settings file, an environment variable, and a flag. The flag
wins, then the environment, then the file that `--config` (or `PLIMSOLL_CONFIG`) names, then the default. No
file is read unless one is named. `[hub]` with `policy = \"evict\"` in the file is `PLIMSOLL_HUB_POLICY=evict`
is `--hub-policy evict`. `plimsoll config` shows every value and where it came from.

An unknown name or a wrong value, in any of the three, is an error and the program ends with code 64. Of the
variables that begin with `PLIMSOLL_`, {ignored} are no settings and are
let pass, and so are those that Kubernetes makes for a service of that name (`PLIMSOLL_SERVICE_HOST`,
`PLIMSOLL_PORT_7077_TCP_ADDR` and their like).

Sizes are written `64MiB` (B, KiB, MiB, GiB, TiB) and a bare number is bytes; times are written `90s` (ns,
us, ms, s, m, h, d) and never without a unit. In the file both stand in quotes; counts do not. Where 0 is
allowed, its meaning is said.

Memory is the worst case, as a product of settings. Unless it says otherwise it is inside `memory_limit`.

"
    )
}

fn section(page: &mut String, name: &str, about: &str) {
    let title = if name.is_empty() { "At the top of the file".to_string() } else { format!("`[{name}]`") };
    // Writing to a String does not fail.
    let _ = write!(
        page,
        "## {title}\n\n{about}\n\n| setting | default | unit | allowed | meaning | memory |\n\
         | --- | --- | --- | --- | --- | --- |\n"
    );
    for entry in TABLE.iter().filter(|entry| entry.section() == name) {
        let _ = writeln!(page, "{}", row(entry));
    }
    page.push('\n');
}

fn row(entry: &Entry) -> String {
    let names = match (entry.flag(), entry.env()) {
        (Some(flag), Some(env)) => format!("`{}`<br>`--{flag}`<br>`{env}`", entry.key()),
        _ => format!("`[[{}]]`<br>in the file only", entry.key()),
    };
    let default = if entry.facts.share_of.is_empty() {
        format!("`{}`", shown(entry.default_text()))
    } else {
        format!("unset: {}", entry.default_text())
    };
    let allowed = match (entry.range)() {
        Some([least, most]) => format!("{least} to {most}"),
        None if entry.what.starts_with("one of ") => entry.what["one of ".len()..].to_string(),
        None => entry.what.to_string(),
    };
    let zero = match entry.facts.zero {
        "" => String::new(),
        zero => format!(" 0: {zero}."),
    };
    let unit = if entry.unit().is_empty() { "–" } else { entry.unit() };
    format!("| {names} | {default} | {unit} | {allowed} | {}{zero} | {} |", entry.doc(), entry.facts.cost)
}

fn fixed() -> String {
    let share = |(numerator, denominator): (u64, u64)| format!("{numerator}/{denominator}");
    format!(
        "## How `memory_limit` is divided

| part | size |
| --- | --- |
| pool | `pool.limit`; unset {pool_share} of `memory_limit`, at most {pool_max}, at least one ingest |
| one ingest, inside the pool | {window} + `ingest.in_flight_max` × {chunk} |
| hub | `hub.limit`; unset {hub_share} of `memory_limit`, or what is left, at least enough for one event |
| one topic's ring, inside the hub | `hub.topic_limit`; unset {topic_share} of the hub |
| one published event, inside a ring | {growth} × `publish.body_limit` + {extra} |
| connections | (`max_connections` + `http.api_connections`) × {connection} |
| headroom, for what must not fail | {headroom} of `memory_limit` |

When the parts are more than `memory_limit`, the start is refused with the sum and with the smallest limit
that would do.

## Limits that are no settings

| limit | value |
| --- | --- |
| the settings file | {file} |
| rules `[[hub.topic]]` | {RULES_MAX} |
",
        pool_share = share(plan::POOL_SHARE),
        pool_max = plan::POOL_SHARE_MAX,
        window = plan::WINDOW_BYTES,
        chunk = plan::CHUNK_BYTES_MAX,
        hub_share = share(plan::HUB_SHARE),
        topic_share = share(plan::TOPIC_SHARE),
        growth = plan::EVENT_GROWTH_MAX,
        extra = plan::EVENT_BYTES_EXTRA,
        connection = plan::CONNECTION_BYTES,
        headroom = share(plan::HEADROOM_SHARE),
        file = FILE_BYTES_MAX,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_says_all_that_the_page_needs() {
        for entry in TABLE {
            assert!(!entry.doc().is_empty() && entry.doc().ends_with('.'), "{}: doc", entry.key());
            assert!(!entry.facts.cost.is_empty(), "{}: memory cost", entry.key());
            assert!(!row(entry).contains('\n'), "{}: one line", entry.key());
            assert_eq!(row(entry).matches('|').count(), 7, "{}: cells", entry.key());
            if entry.what == "a whole number" {
                assert!(!entry.unit().is_empty(), "{}: unit", entry.key());
                assert!((entry.range)().is_some(), "{}: range", entry.key());
            }
            if let Some([least, _]) = (entry.range)() {
                let zero = matches!(least.as_str(), "0" | "0s" | "0B");
                assert_eq!(zero, !entry.facts.zero.is_empty(), "{}: what 0 means", entry.key());
            }
            let share = entry.facts.share_of;
            assert!(
                share.is_empty() || TABLE.iter().any(|other| other.key() == share),
                "{}: share",
                entry.key()
            );
        }
    }

    #[test]
    fn the_page_names_every_setting_in_three_ways() {
        let page = markdown();
        for entry in TABLE {
            assert!(page.contains(entry.key()), "{}", entry.key());
            if let (Some(flag), Some(env)) = (entry.flag(), entry.env()) {
                assert!(
                    page.contains(&format!("`--{flag}`")) && page.contains(&format!("`{env}`")),
                    "{flag}"
                );
            }
        }
    }

    #[test]
    fn names_are_unique_in_each_of_the_three_ways() {
        let mut flags: Vec<_> = TABLE.iter().filter_map(Entry::flag).collect();
        flags.sort();
        flags.dedup();
        assert_eq!(flags.len(), TABLE.iter().filter(|entry| !entry.facts.file_only).count());
    }
}
