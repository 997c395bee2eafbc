//! What was seen, judged and written. The judgement itself is not made here: see [`plimsoll_verdict::judge`].

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use plimsoll_verdict::judge::{
    self, Known, Lifetimes, Options, Outcome, Owner, Row, Series, Target, Verdict, judge, lifetimes,
    recorded, several, write_text,
};
use plimsoll_verdict::{Profile, html};

use super::subject::Subject;
use crate::exit::{Exit, Failure};
use crate::keeper::named::Namer;
use crate::keeper::replace::{part_of, replace};

/// The longest file of lifetimes that is read: its sites are bounded, and so are their names in any honest file.
const LIFETIMES_BYTES_MAX: u64 = 16 << 20;

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
    /// A page of the verdict.
    pub(crate) report: Option<PathBuf>,
    /// All readings, to be judged again.
    pub(crate) series: Option<PathBuf>,
    /// The memory of lifetimes.
    pub(crate) lifetimes: Option<PathBuf>,
}

impl Form {
    /// Finds out what can be found out before a long wait: whether the files can be written, and what was remembered.
    pub(crate) fn prepare(&mut self) -> Result<(), Failure> {
        for path in [&self.report, &self.series, &self.lifetimes].into_iter().flatten() {
            let shown = path.display();
            if path.is_dir() {
                return Err(Failure::could_not(format!("{shown} is a directory: name a file in it")));
            }
            let parent =
                path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !parent.is_dir() {
                let parent = parent.display();
                return Err(Failure::could_not(format!(
                    "{shown} cannot be written: there is no directory {parent}"
                )));
            }
        }
        if let Some(path) = &self.lifetimes {
            self.known.lifetimes = remembered(path)?;
        }
        Ok(())
    }
}

/// What a file of lifetimes says; nothing if there is none.
fn remembered(path: &Path) -> Result<Lifetimes, Failure> {
    let shown = path.display();
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(LIFETIMES_BYTES_MAX).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Lifetimes::default()),
        Err(error) => Err(Failure::could_not(format!("{shown} cannot be read: {error}"))),
        Ok(_) => Lifetimes::read(&text).map_err(|error| {
            Failure::could_not(format!("{shown}: {error}; name another file, or remove it"))
        }),
    }
}

/// Finds names, judges, and writes the answer.
pub(crate) fn answer(seen: Seen, rows: Vec<Row>, form: &Form) -> Result<Exit, Failure> {
    let mut namer = Namer::new();
    let named: Vec<Option<Profile>> = seen.subjects.iter().map(|subject| subject.named(&mut namer)).collect();
    let judged: Vec<(Owner, Verdict)> = seen
        .subjects
        .iter()
        .zip(&named)
        .map(|(subject, names)| {
            let options = Options { limit: subject.limit(), ..form.options };
            let verdict = judge(&subject.series, names.as_ref(), &form.known, &options);
            (subject.owner.clone(), verdict)
        })
        .collect();
    let Some(mut verdict) = several(judged) else { return Err(Failure::could_not("nothing was seen")) };
    verdict.target = Some(seen.target);
    verdict.gaps.extend(seen.gaps);
    verdict.rows = rows;
    // First what was asked for: a file that cannot be written takes nothing away from the answer.
    print(&verdict, form.json)
        .map_err(|error| Failure::could_not(format!("cannot write to standard output: {error}")))?;
    let past: Vec<(&Owner, &Series, Option<&Profile>)> = seen
        .subjects
        .iter()
        .zip(&named)
        .map(|(subject, names)| (&subject.owner, &subject.series, names.as_ref()))
        .collect();
    files(&verdict, &past, form)?;
    Ok(match verdict.outcome {
        Outcome::Leak => Exit::Bad,
        Outcome::Clean => Exit::Fine,
        Outcome::Undecided => Exit::Undecided,
    })
}

fn print(verdict: &Verdict, json: bool) -> io::Result<()> {
    let out = io::BufWriter::new(io::stdout().lock());
    match if json { judge::write(verdict, out) } else { write_text(verdict, out) } {
        // Who has read enough, has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn files(
    verdict: &Verdict,
    past: &[(&Owner, &Series, Option<&Profile>)],
    form: &Form,
) -> Result<(), Failure> {
    let name = verdict.target.as_ref().map(|target| target.name.clone()).unwrap_or_default();
    if let Some(path) = &form.report {
        save(path, |out| html::write_verdict(&name, verdict, out))?;
    }
    if let Some(path) = &form.series {
        save(path, |out| recorded::write(past, out))?;
    }
    if let Some(path) = &form.lifetimes {
        // Somebody else may have written to it while we watched.
        let mut all = remembered(path).unwrap_or_else(|_| form.known.lifetimes.clone());
        for (_, series, names) in past {
            all.add(&lifetimes(series, *names));
        }
        save(path, |out| out.write_all(all.write().as_bytes()))?;
    }
    Ok(())
}

fn save(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let failed =
        |error: io::Error| Failure::could_not(format!("{} cannot be written: {error}", path.display()));
    // What is no regular file, such as a pipe, is written to and not replaced.
    if fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        let mut file = fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
        return write(&mut file).map_err(failed);
    }
    // A link stays, and what it leads to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    replace(&path, &part_of(&path), write).map_err(failed)
}
