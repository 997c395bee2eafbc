//! Several processes, judged one by one, as one answer: that of the worst.
//!
//! A program may fork, start workers, or be a script around the real one. A process that was there for a moment was seen
//! too shortly to be judged, and that is no news: it would leave every script undecided. So it is counted, and only the
//! process that was started, or the last one that is left, leaves the whole open by its shortness.

use super::verdict::{Outcome, Owner, ProcessLine, SiteVerdict, State, Verdict};
use super::{BLAMED_MAX, OBSERVED_MIN_S, READINGS_MIN};

/// Puts verdicts together. The first is that of the process that was started; it stands for the whole where none is
/// worse. Nothing if there is none.
///
/// Takes time in proportion to the sites, of which it keeps the hundred worst and those that are not blamed of the worst
/// process.
pub fn several(judged: Vec<(Owner, Verdict)>) -> Option<Verdict> {
    let is_alone = judged.len() == 1;
    let lines: Vec<ProcessLine> = if is_alone {
        Vec::new()
    } else {
        judged.iter().map(|(owner, verdict)| line(owner, verdict)).collect()
    };
    let longest = judged.iter().map(|(_, verdict)| verdict.observed).max().unwrap_or_default();
    let is_short = |verdict: &Verdict| {
        is_too_short(verdict) || verdict.observed.as_secs_f64() < longest.as_secs_f64() * LIFE_PART_MIN
    };
    let shorts = judged.iter().filter(|(_, verdict)| is_short(verdict)).count();
    let mut judged: Vec<(Owner, Verdict)> = if shorts < judged.len() {
        judged.into_iter().filter(|(_, verdict)| !is_short(verdict)).collect()
    } else {
        judged
    };
    let worst = judged
        .iter()
        .enumerate()
        .max_by(|(a_nth, a), (b_nth, b)| {
            let key = |(_, verdict): &(Owner, Verdict)| (severity(verdict), verdict.confidence);
            let ((a_severity, a_sure), (b_severity, b_sure)) = (key(a), key(b));
            a_severity.cmp(&b_severity).then(a_sure.total_cmp(&b_sure)).then(b_nth.cmp(a_nth))
        })
        .map(|(nth, _)| nth)?;
    let mut all = judged.remove(worst);
    for site in &mut all.1.sites {
        site.owner = Some(all.0.clone());
    }
    if is_alone {
        return Some(all.1);
    }
    let own: Vec<String> = all.1.gaps.iter().map(|gap| format!("{}: {gap}", named(&all.0))).collect();
    let mut whole = all.1;
    whole.gaps = own;
    let more_open: Vec<String> = judged
        .iter()
        .filter(|(_, verdict)| verdict.outcome != Outcome::Clean)
        .flat_map(|(owner, verdict)| verdict.gaps.iter().map(|gap| format!("{}: {gap}", named(owner))))
        .collect();
    whole.gaps.extend(more_open);
    let processes = lines.len();
    let left_alone = if shorts < processes { shorts } else { processes.saturating_sub(1) };
    if left_alone > 0 {
        whole.gaps.push(format!("{left_alone} of {processes} processes were seen too shortly to be judged"));
    }
    let blamed: Vec<SiteVerdict> = judged
        .into_iter()
        .flat_map(|(owner, verdict)| {
            let worth = verdict.sites.into_iter().filter(|site| site.state.is_blamed() || site.is_open);
            worth.map(move |site| SiteVerdict { owner: Some(owner.clone()), ..site })
        })
        .collect();
    whole.sites.extend(blamed);
    whole.sites.sort_by(|a, b| {
        let key = |site: &SiteVerdict| (site.state.is_blamed(), site.is_open);
        key(b).cmp(&key(a)).then(b.growth.bytes_per_s.total_cmp(&a.growth.bytes_per_s))
    });
    let open = whole.sites.iter().filter(|site| !site.state.is_blamed()).count();
    let blamed = whole.sites.len() - open;
    if blamed > BLAMED_MAX {
        whole.sites.drain(BLAMED_MAX..blamed);
    }
    whole.processes = lines;
    Some(whole)
}

/// How bad it is: a leak at a line, a leak of the process, open, clean.
fn severity(verdict: &Verdict) -> u8 {
    match verdict.outcome {
        Outcome::Leak if verdict.sites.iter().any(|site| site.state == State::Confirmed) => 4,
        Outcome::Leak if verdict.sites.iter().any(|site| site.state.is_blamed()) => 3,
        Outcome::Leak => 2,
        Outcome::Undecided => 1,
        Outcome::Clean => 0,
    }
}

/// A process that ran for less than this part of the time does a job and is gone: a compiler keeps all that it makes until
/// then, and is right to.
const LIFE_PART_MIN: f64 = 0.25;

fn is_too_short(verdict: &Verdict) -> bool {
    verdict.observed.as_secs_f64() < OBSERVED_MIN_S || (verdict.readings as usize) < READINGS_MIN
}

fn named(owner: &Owner) -> String {
    match owner.pid {
        Some(pid) => format!("{} (pid {pid})", owner.program),
        None => owner.program.clone(),
    }
}

fn line(owner: &Owner, verdict: &Verdict) -> ProcessLine {
    ProcessLine {
        owner: owner.clone(),
        outcome: (!is_too_short(verdict)).then_some(verdict.outcome),
        observed: verdict.observed,
        readings: verdict.readings,
        has_heap: verdict.has_heap,
        heap_live: verdict.process.heap_live,
        resident_last: verdict.process.resident_last,
    }
}
