//! A verdict as a person reads it in a terminal: the answer first, then why, then what is open and what to do next.
//!
//! Names are those of strangers and are made fit to be shown; see [`crate::clean`].

use std::io::{self, Write};

use super::verdict::{Gate, Kind, Outcome, ProcessVerdict, SiteVerdict, State, Target, Verdict};
use crate::clean;
use crate::text::table::{place, short_name, span};

/// Blamed sites that are shown in full; the rest is counted.
const BLAMED_MAX: usize = 10;
/// Open ones.
const OPEN_MAX: usize = 10;
/// Frames of a stack.
const FRAMES_MAX: usize = 16;
/// Sites that are neither, in one line each.
const OTHERS_MAX: usize = 5;
/// Processes in one line each.
const PROCESSES_MAX: usize = 16;

/// Writes `verdict` in some dozen lines. Allocates some hundred bytes for each.
///
/// # Errors
/// Those of `out`.
pub fn write_text(verdict: &Verdict, mut out: impl Write) -> io::Result<()> {
    let out = &mut out;
    head(verdict, out)?;
    let blamed: Vec<&SiteVerdict> = verdict.sites.iter().filter(|site| site.state.is_blamed()).collect();
    let open: Vec<&SiteVerdict> = verdict.sites.iter().filter(|site| site.is_open).collect();
    for site in blamed.iter().take(BLAMED_MAX) {
        writeln!(out)?;
        whole(site, verdict, out)?;
    }
    more(blamed.len(), BLAMED_MAX, "blamed", out)?;
    if !open.is_empty() {
        writeln!(out, "\nnot decided:")?;
        for site in open.iter().take(OPEN_MAX) {
            writeln!(out, "  {}{}", title(site), owner(site, verdict))?;
            writeln!(out, "    {}", clean::line(&site.sentence()))?;
            writeln!(out, "    {}", clean::line(&site.why_not()))?;
        }
        more(open.len(), OPEN_MAX, "open", out)?;
    }
    let others = verdict.sites.iter().filter(|site| !site.state.is_blamed() && !site.is_open);
    let others: Vec<&SiteVerdict> =
        others.filter(|site| site.excused.is_some() || site.state == State::Growing).collect();
    if !others.is_empty() {
        writeln!(out, "\nnot blamed:")?;
        for site in others.iter().take(OTHERS_MAX) {
            let why = site.excused.clone().unwrap_or_else(|| site.why_not());
            writeln!(out, "  {}: {} live, {}", title(site), site.live, clean::line(&why))?;
        }
        more(others.len(), OTHERS_MAX, "not blamed", out)?;
    }
    process(&verdict.process, verdict.has_heap, out)?;
    processes(verdict, out)?;
    if !verdict.gaps.is_empty() {
        writeln!(out, "\nto be known:")?;
        for gap in &verdict.gaps {
            writeln!(out, "  - {}", clean::line(gap))?;
        }
    }
    writeln!(out, "\nnext: {}", next(verdict))?;
    out.flush()
}

fn head(verdict: &Verdict, out: &mut impl Write) -> io::Result<()> {
    let name = verdict.target.as_ref().map_or_else(String::new, named);
    let said = match verdict.outcome {
        Outcome::Leak => "LEAK",
        Outcome::Clean => "clean: no leak was seen",
        Outcome::Undecided => "undecided",
    };
    writeln!(out, "{said}{name}")?;
    let observed = span(ms(verdict.observed));
    let how = match (verdict.has_heap, verdict.interval.as_u64()) {
        (false, _) => "resident memory only, which is weaker".to_owned(),
        (true, 0 | 1) => "every allocation".to_owned(),
        (true, _) => format!("one sample in {}", verdict.interval),
    };
    writeln!(
        out,
        "observed for {observed} in {} readings, {how}; confidence {:.0} %",
        verdict.readings,
        verdict.confidence * 100.0
    )?;
    match verdict.target.as_ref().and_then(|target| target.exit_code) {
        Some(code) => writeln!(out, "it ended by itself with {code}; what was seen before is judged"),
        None => Ok(()),
    }
}

fn named(target: &Target) -> String {
    let name = clean::shortened(&clean::line(&target.name), 100).into_owned();
    match target.pid {
        Some(pid) if name != pid.to_string() => format!(": {name} (pid {pid})"),
        _ => format!(": {name}"),
    }
}

fn title(site: &SiteVerdict) -> String {
    format!("{}{}", short_name(&site.function), place(site.file.as_deref(), site.line))
}

fn owner(site: &SiteVerdict, verdict: &Verdict) -> String {
    match &site.owner {
        Some(owner) if !verdict.processes.is_empty() => {
            let pid = owner.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            format!("  in {}{pid}", clean::line(&owner.program))
        }
        _ => String::new(),
    }
}

/// A blamed site with all that speaks against it.
fn whole(site: &SiteVerdict, verdict: &Verdict, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}: {}{}", site.state.name(), title(site), owner(site, verdict))?;
    let kind = match site.evidence.kind {
        Some(Kind::Container) => "one container that only grows",
        Some(Kind::Backlog) => "more comes than goes",
        _ => "objects that are never freed",
    };
    writeln!(out, "  {kind}, seen by {}", site.scope.name())?;
    writeln!(out, "  {}", clean::line(&site.sentence()))?;
    let rate = &site.growth;
    writeln!(
        out,
        "  {:.0} B/s (95 %: {:.0} to {:.0}) over {}, from {} samples",
        rate.bytes_per_s,
        rate.low,
        rate.high,
        span(ms(site.evidence.window)),
        site.evidence.samples
    )?;
    gates(&site.evidence.gates, out)?;
    for frame in site.stack.iter().take(FRAMES_MAX) {
        writeln!(out, "    at {}{}", short_name(&frame.function), place(frame.file.as_deref(), frame.line))?;
    }
    if site.stack.len() > FRAMES_MAX {
        writeln!(out, "    and {} frames more", site.stack.len() - FRAMES_MAX)?;
    }
    Ok(())
}

fn gates(gates: &[Gate], out: &mut impl Write) -> io::Result<()> {
    for gate in gates {
        let mark = if gate.passed { '+' } else { '-' };
        writeln!(out, "  {mark} {}: {}", gate.name, clean::line(&gate.found))?;
    }
    Ok(())
}

fn process(process: &ProcessVerdict, has_heap: bool, out: &mut impl Write) -> io::Result<()> {
    if process.resident_last.is_zero() {
        return Ok(());
    }
    let heap = if has_heap { format!(", {} live on its heap", process.heap_live) } else { String::new() };
    writeln!(
        out,
        "\nprocess: {} resident, {} at first{heap}; {}",
        process.resident_last,
        process.resident_first,
        process.rate_in_words()
    )?;
    for part in &process.parts {
        writeln!(
            out,
            "  {:<16} {} at first, {} now: {}",
            part.name,
            part.first,
            part.last,
            part.state.name()
        )?;
    }
    if process.state.is_blamed() {
        gates(&process.gates, out)?;
    }
    Ok(())
}

fn processes(verdict: &Verdict, out: &mut impl Write) -> io::Result<()> {
    if verdict.processes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nprocesses:")?;
    for line in verdict.processes.iter().take(PROCESSES_MAX) {
        let pid = line.owner.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        let said = line.outcome.map_or("seen too shortly", Outcome::name);
        let live = if line.has_heap { line.heap_live } else { line.resident_last };
        let of = if line.has_heap { "live" } else { "resident" };
        let observed = span(ms(line.observed));
        writeln!(
            out,
            "  {}{pid}: {said}, {live} {of}, observed for {observed}",
            clean::line(&line.owner.program)
        )?;
    }
    more(verdict.processes.len(), PROCESSES_MAX, "processes", out)
}

/// What to do next.
fn next(verdict: &Verdict) -> String {
    let blamed = verdict.sites.iter().find(|site| site.state.is_blamed());
    match (verdict.outcome, blamed) {
        (Outcome::Leak, Some(site)) => format!(
            "see who should free what {} allocates; if that is meant, declare a bound or a suppression (--known)",
            short_name(&site.function)
        ),
        (Outcome::Leak, None) if verdict.has_heap => {
            "it grows outside of the profiled heap: look at the parts above, and at what maps memory itself"
                .to_owned()
        }
        _ if verdict.readings == 0 => "watch what runs for longer".to_owned(),
        (Outcome::Leak | Outcome::Undecided, _) if !verdict.has_heap => {
            "start it with `plimsoll watch -- CMD` (or under `plimsoll record`), and the line is named"
                .to_owned()
        }
        (Outcome::Leak, None) => "look at the parts above".to_owned(),
        (Outcome::Clean, _) => "nothing; a leak that is slower needs a longer --duration".to_owned(),
        (Outcome::Undecided, _) => {
            format!("watch it for longer, with --duration {}", doubled(verdict.observed.as_secs()))
        }
    }
}

/// Twice as long, as it is written on a command line; a minute at least.
fn doubled(seconds: u64) -> String {
    let seconds = (seconds * 2).max(60);
    if seconds < 7200 { format!("{}m", seconds.div_ceil(60)) } else { format!("{}h", seconds.div_ceil(3600)) }
}

fn more(count: usize, shown: usize, what: &str, out: &mut impl Write) -> io::Result<()> {
    match count.saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more ({what})"),
    }
}

fn ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::examples::{site, verdict};
    use super::*;

    fn text(verdict: &Verdict) -> String {
        let mut out = Vec::new();
        write_text(verdict, &mut out).expect("into memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_answer_stands_first_and_a_blamed_site_has_its_evidence() {
        let text = text(&verdict(Outcome::Leak, vec![site("cache::put", State::Confirmed)]));
        assert!(text.starts_with("LEAK: ./server (pid 7)\n"), "{text}");
        for part in [
            "confirmed: cache::put  src/cache.c:42\n",
            "0 of 412 sampled objects older than 45 s were ever freed",
            "1000 B/s (95 %: 900 to 1100)",
            "+ never freed: 0 old ones died",
            "    at put\n",
            "ended by itself with 3",
            "- 2 samples?were lost",
            "next: see who should free what cache::put allocates",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn what_is_open_and_what_is_excused_is_said() {
        let open = SiteVerdict { is_open: true, ..site("slow", State::Growing) };
        let excused =
            SiteVerdict { excused: Some("suppressed: known".to_owned()), ..site("old", State::Growing) };
        let text = text(&verdict(Outcome::Undecided, vec![open, excused]));
        assert!(text.starts_with("undecided: "), "{text}");
        assert!(text.contains("not decided:\n  slow") && text.contains("not blamed:\n  old"), "{text}");
        assert!(text.contains("suppressed: known") && text.contains("--duration 4m"), "{text}");
    }
}
