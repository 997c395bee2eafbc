//! The page of a verdict: what was decided, on what evidence, and what could not be.

use std::io::{self, Write};

use super::page::{self, name, text};
use super::plot;
use crate::judge::{Gate, Outcome, ProcessVerdict, SiteVerdict, StackFrame, Verdict};
use crate::text::table::span;

/// Sites that are not blamed, in the table.
const OTHERS_MAX: usize = 100;

/// Writes the page of what was decided of `program`. Allocates the pictures, some kilobytes for each blamed site.
///
/// # Errors
/// Those of `out`.
pub fn write_verdict(program: &str, verdict: &Verdict, mut out: impl Write) -> io::Result<()> {
    let out = &mut out;
    let title = format!("Verdict on {program}");
    page::begin(&title, out)?;
    head(&title, verdict, out)?;
    let (blamed, others): (Vec<_>, Vec<_>) = verdict.sites.iter().partition(|site| site.state.is_blamed());
    if !blamed.is_empty() {
        writeln!(out, "<section aria-labelledby=blamed-h><h2 id=blamed-h>What leaks</h2>")?;
        for site in &blamed {
            card(site, out)?;
        }
        writeln!(out, "</section>")?;
    }
    let (open, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|site| site.is_open);
    if !open.is_empty() {
        writeln!(out, "<section aria-labelledby=open-h><h2 id=open-h>What could not be decided</h2>")?;
        for site in &open {
            card(site, out)?;
        }
        writeln!(out, "</section>")?;
    }
    process(&verdict.process, out)?;
    if !verdict.gaps.is_empty() {
        writeln!(out, "<section aria-labelledby=gaps-h><h2 id=gaps-h>What else there is to know</h2><ul>")?;
        for gap in &verdict.gaps {
            writeln!(out, "<li>{}</li>", text(gap))?;
        }
        writeln!(out, "</ul></section>")?;
    }
    table(&rest, out)?;
    page::end(out)
}

fn head(title: &str, verdict: &Verdict, out: &mut impl Write) -> io::Result<()> {
    let said = match verdict.outcome {
        Outcome::Leak => "It leaks",
        Outcome::Clean => "No leak was seen",
        Outcome::Undecided => "Undecided",
    };
    let observed = span(u64::try_from(verdict.observed.as_millis()).unwrap_or(u64::MAX));
    writeln!(out, "<header><h1>{}</h1>", text(title))?;
    writeln!(
        out,
        "<p class=lead><strong>{said}</strong>, with a confidence of {:.0} %, after {observed}.</p></header>\n\
         <dl class=facts>",
        verdict.confidence * 100.0
    )?;
    fact("Readings", &verdict.readings.to_string(), out)?;
    if verdict.has_heap {
        let sampling = match verdict.interval.as_u64() {
            1 => "every allocation".to_owned(),
            _ => format!("one sample in {}", verdict.interval),
        };
        fact("Sampling", &sampling, out)?;
        fact("Live on the heap", &verdict.process.heap_live.to_string(), out)?;
    }
    let threshold = &verdict.threshold;
    let over = match (threshold.has_data, threshold.over.len()) {
        (false, _) => "too few readings".to_owned(),
        (true, 0) => "no line grew by more".to_owned(),
        (true, count) => format!("{count} lines grew by more; that alone says nothing of a leak"),
    };
    fact(&format!("Threshold of {}", threshold.threshold), &over, out)?;
    writeln!(out, "</dl>")
}

fn card(site: &SiteVerdict, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "<article class=\"card {state}\"><h3>{function} <span class=file>{file}</span> <span class=state>{state}\
         </span></h3>",
        state = site.state.name(),
        function = name(&site.function),
        file = text(&place(site.file.as_deref(), site.line)),
    )?;
    writeln!(out, "<p>{}</p>", text(&site.sentence()))?;
    if let Some(reason) = &site.excused {
        writeln!(out, "<p class=note>Not blamed: {}.</p>", text(reason))?;
    }
    plot::write("Live bytes", &site.history, out)?;
    gates(&site.evidence.gates, out)?;
    stack(&site.stack, out)?;
    writeln!(out, "</article>")
}

fn gates(gates: &[Gate], out: &mut impl Write) -> io::Result<()> {
    if gates.is_empty() {
        return Ok(());
    }
    writeln!(out, "<ul class=gates>")?;
    for gate in gates {
        let (mark, said) = if gate.passed { ("✓", "as in a leak") } else { ("✗", "not as in a leak") };
        writeln!(
            out,
            "<li><span title=\"{said}\" aria-label=\"{said}\">{mark}</span> <b>{}</b> {}</li>",
            text(gate.name),
            text(&gate.found)
        )?;
    }
    writeln!(out, "</ul>")
}

fn stack(frames: &[StackFrame], out: &mut impl Write) -> io::Result<()> {
    if frames.is_empty() {
        return Ok(());
    }
    writeln!(out, "<details><summary>The stack with the most of it</summary><ol class=stack>")?;
    for frame in frames {
        let file = place(frame.file.as_deref(), frame.line);
        writeln!(out, "<li>{} <span class=file>{}</span></li>", name(&frame.function), text(&file))?;
    }
    writeln!(out, "</ol></details>")
}

fn process(process: &ProcessVerdict, out: &mut impl Write) -> io::Result<()> {
    if process.resident_last.is_zero() {
        return Ok(());
    }
    writeln!(
        out,
        "<section aria-labelledby=process-h><h2 id=process-h>The process</h2><p>{} resident, {} at first: {}.</p>",
        process.resident_last,
        process.resident_first,
        text(&process.rate_in_words())
    )?;
    plot::write("Resident memory", &process.history, out)?;
    if !process.parts.is_empty() {
        writeln!(
            out,
            "<div class=scroll><table><thead><tr><th scope=col>Part<th scope=col class=n>At first\
             <th scope=col class=n>At last<th scope=col>State</tr></thead>"
        )?;
        for part in &process.parts {
            writeln!(
                out,
                "<tr><td>{}<td class=n>{}<td class=n>{}<td>{}</tr>",
                text(&part.name),
                part.first,
                part.last,
                part.state.name()
            )?;
        }
        writeln!(out, "</table></div>")?;
    }
    gates(&process.gates, out)?;
    writeln!(out, "</section>")
}

fn table(sites: &[&SiteVerdict], out: &mut impl Write) -> io::Result<()> {
    if sites.is_empty() {
        return Ok(());
    }
    let shown = sites.len().min(OTHERS_MAX);
    writeln!(
        out,
        "<section aria-labelledby=others-h><h2 id=others-h>Lines that are not blamed</h2><p class=note>{shown} of {}.\
         </p><div class=scroll><table><thead><tr><th scope=col>Function<th scope=col>State<th scope=col class=n>Live\
         <th scope=col>Why</tr></thead>",
        sites.len()
    )?;
    for site in &sites[..shown] {
        let why = match &site.excused {
            Some(reason) => reason.clone(),
            None => site.why_not(),
        };
        writeln!(
            out,
            "<tr><td>{} <span class=file>{}</span><td>{}<td class=n>{}<td>{}</tr>",
            name(&site.function),
            text(&place(site.file.as_deref(), site.line)),
            site.state.name(),
            site.live,
            text(&why)
        )?;
    }
    writeln!(out, "</table></div></section>")
}

fn fact(what: &str, value: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", text(what), text(value))
}

fn place(file: Option<&str>, line: Option<u32>) -> String {
    match (file, line) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        (Some(file), None) => file.to_owned(),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::State;
    use crate::judge::examples::{site, verdict};

    fn page(verdict: &Verdict) -> String {
        let mut out = Vec::new();
        write_verdict("./server", verdict, &mut out).expect("into memory");
        String::from_utf8(out).expect("text")
    }

    /// Proves D4: the page says what was decided, of which line, and on what.
    #[test]
    fn the_page_has_the_verdict_its_evidence_and_a_picture() {
        let mut leak = verdict(Outcome::Leak, vec![site("cache::put", State::Confirmed)]);
        leak.sites[0].history = vec![(0.0, 1000), (30.0, 2000), (60.0, 3000)];
        let page = page(&leak);
        for there in [
            "<strong>It leaks</strong>, with a confidence of 99 %",
            "<article class=\"card confirmed\"><h3>cache::put <span class=file>src/cache.c:42</span>",
            "0 of 412 sampled objects older than 45 s were ever freed",
            "<b>never freed</b> 0 old ones died",
            "<polyline points=",
            "<li>put ",
        ] {
            assert!(page.contains(there), "`{there}` is not in:\n{page}");
        }
        for fetched in ["src=", "href=\"http", "url(http", "@import", "fetch(", "<link"] {
            assert!(!page.contains(fetched), "{fetched}");
        }
    }

    #[test]
    fn a_hostile_name_stays_a_name() {
        let evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&";
        let mut leak = verdict(Outcome::Leak, vec![site(evil, State::Suspect)]);
        leak.sites[0].file = Some(evil.to_owned());
        leak.sites[0].stack[0].function = evil.to_owned();
        leak.sites[0].evidence.gates[0].found = evil.to_owned();
        leak.gaps.push(evil.to_owned());
        let page = page(&leak);
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
    }
}
