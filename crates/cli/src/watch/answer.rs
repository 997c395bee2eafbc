//! What was seen, judged and written. The judgement itself is not made here: see [`plimsoll_verdict::judge`].

use std::io;

use plimsoll_verdict::Profile;
use plimsoll_verdict::judge::{self, Known, Options, Outcome, Owner, Target, Verdict, judge, several};

use super::subject::Subject;
use crate::exit::{Exit, Failure};
use crate::keeper::named::Namer;

/// Everything that was seen of a target.
pub(crate) struct Seen {
    /// The program that was started is the first. At least one.
    pub(crate) subjects: Vec<Subject>,
    pub(crate) target: Target,
    /// What the reader should know besides, in sentences.
    pub(crate) gaps: Vec<String>,
}

/// How it is answered.
pub(crate) struct Form {
    pub(crate) json: bool,
    pub(crate) options: Options,
    pub(crate) known: Known,
}

/// Finds names, judges, and writes the answer.
pub(crate) fn answer(seen: Seen, form: &Form) -> Result<Exit, Failure> {
    let mut namer = Namer::new();
    let mut judged: Vec<(Owner, Verdict)> = Vec::new();
    for subject in &seen.subjects {
        let names: Option<Profile> = subject.named(&mut namer);
        judged.push((
            subject.owner.clone(),
            judge(&subject.series, names.as_ref(), &form.known, &form.options),
        ));
    }
    let Some(mut verdict) = several(judged) else {
        return Err(Failure::could_not("nothing was seen"));
    };
    verdict.target = Some(seen.target);
    verdict.gaps.extend(seen.gaps);
    write(&verdict, form)
        .map_err(|error| Failure::could_not(format!("cannot write to standard output: {error}")))?;
    Ok(match verdict.outcome {
        Outcome::Leak => Exit::Bad,
        Outcome::Clean => Exit::Fine,
        Outcome::Undecided => Exit::Undecided,
    })
}

fn write(verdict: &Verdict, form: &Form) -> io::Result<()> {
    let out = io::stdout().lock();
    let written = if form.json { judge::write(verdict, out) } else { judge::write(verdict, out) };
    match written {
        // Who has read enough, has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
