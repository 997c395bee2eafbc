//! What `plimsoll watch --json` said: one object among whatever the program wrote to the same output.

use serde_json::{Deserializer, Value};

use crate::process::{Ended, shown};

/// Begins the name of the format that is understood.
const SCHEMA: &str = "plimsoll.watch/1";

/// What was said about a program as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Leak,
    Clean,
    Undecided,
}

impl Verdict {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Leak => "leak",
            Self::Clean => "clean",
            Self::Undecided => "undecided",
        }
    }

    /// The exit code that goes with it.
    const fn code(self) -> i32 {
        match self {
            Self::Clean => 0,
            Self::Leak => 1,
            Self::Undecided => 3,
        }
    }
}

/// What was said about one line of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) function: String,
    /// The last part of the path.
    pub(crate) file: String,
    pub(crate) line: u64,
    pub(crate) state: String,
}

impl Site {
    /// Whether it is said to leak.
    pub(crate) fn is_blamed(&self) -> bool {
        is_blamed(&self.state)
    }
}

/// Whether what is in this state is said to leak.
pub(crate) fn is_blamed(state: &str) -> bool {
    matches!(state, "suspect" | "confirmed")
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    /// Blamed ones first, worst first.
    pub(crate) sites: Vec<Site>,
    /// All that was said, for whoever wants to know more.
    pub(crate) whole: Value,
    /// What the program said about itself at its start, if that was seen.
    pub(crate) program: Option<Value>,
}

impl Answer {
    /// The answer in what `plimsoll watch` wrote, or why there is none.
    pub(crate) fn read(ended: &Ended) -> Result<Answer, String> {
        let mut objects = objects(&ended.output);
        let is_answer = |value: &Value| value["schema"].as_str() == Some(SCHEMA);
        let Some(at) = objects.iter().position(is_answer) else {
            let code = ended.code.map_or("a signal".to_owned(), |code| format!("code {code}"));
            return Err(format!("no answer, {code}: {}", shown(&ended.errors)));
        };
        let whole = objects.swap_remove(at);
        let verdict = match whole["verdict"].as_str() {
            Some("leak") => Verdict::Leak,
            Some("clean") => Verdict::Clean,
            Some("undecided") => Verdict::Undecided,
            other => return Err(format!("the verdict is {other:?}, which is none")),
        };
        if ended.code != Some(verdict.code()) {
            return Err(format!("the verdict is {}, and the exit code {:?}", verdict.name(), ended.code));
        }
        let sites = whole["sites"].as_array().map(Vec::as_slice).unwrap_or_default();
        let sites = sites.iter().map(read_site).collect::<Result<_, _>>()?;
        let program = objects.into_iter().find(|value| value["parameters"].is_object());
        Ok(Answer { verdict, sites, whole, program })
    }

    /// The sites that are said to leak, in the order in which they were named.
    pub(crate) fn blamed(&self) -> impl Iterator<Item = &Site> {
        self.sites.iter().filter(|site| site.is_blamed())
    }
}

/// What has no name, file or line (a library without debug information) is named by nothing and right for nobody.
fn read_site(site: &Value) -> Result<Site, String> {
    let state = site["state"].as_str().ok_or_else(|| format!("a site has no state: {site}"))?;
    let text = |field: &str| site[field].as_str().unwrap_or_default().to_owned();
    let file = text("file").rsplit('/').next().unwrap_or_default().to_owned();
    let line = site["line"].as_u64().unwrap_or_default();
    Ok(Site { function: text("function"), file, line, state: state.to_owned() })
}

/// All JSON objects that begin a line, over as many lines as they take.
fn objects(output: &str) -> Vec<Value> {
    let mut objects = Vec::new();
    let mut rest = output;
    while !rest.is_empty() {
        if rest.starts_with('{') {
            let mut values = Deserializer::from_str(rest).into_iter::<Value>();
            if let Some(Ok(value)) = values.next() {
                objects.push(value);
                rest = &rest[values.byte_offset()..];
            }
        }
        rest = rest.find('\n').map_or("", |end| &rest[end + 1..]);
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, output: &str) -> Ended {
        Ended { code: Some(code), output: output.to_owned(), errors: "it went wrong".to_owned() }
    }

    #[test]
    fn an_answer_is_found_among_what_the_program_wrote() {
        let output = concat!(
            "{\"program\":\"x\",\"leaks\":true,\"seed\":7,\"parameters\":{\"a\":1}}\nhello {\n",
            "{\n \"schema\": \"plimsoll.watch/1\", \"verdict\": \"leak\",\n \"sites\": [{\"function\": \"x::f\",",
            "\"file\": \"/a/src/bin/x.rs\", \"line\": 9, \"state\": \"confirmed\"},",
            "{\"function\": null, \"file\": null, \"line\": null, \"state\": \"steady\"}]}\nbye\n"
        );
        let answer = Answer::read(&ended(1, output)).expect("it is well formed");
        assert_eq!(answer.verdict, Verdict::Leak);
        let blamed: Vec<_> = answer.blamed().map(|site| (&*site.function, &*site.file, site.line)).collect();
        assert_eq!(blamed, [("x::f", "x.rs", 9)]);
        assert_eq!(answer.sites.len(), 2);
        assert_eq!(answer.program.expect("it was said")["seed"], 7);
    }

    #[test]
    fn what_is_no_answer_is_said() {
        let clean = "{\"schema\":\"plimsoll.watch/1\",\"verdict\":\"clean\",\"sites\":[]}";
        assert!(Answer::read(&ended(0, clean)).is_ok());
        for (code, output, why) in [
            (2, "", "it went wrong"),
            (1, clean, "exit code"),
            (0, "{\"schema\":\"plimsoll.watch/1\",\"verdict\":\"good\"}", "which is none"),
            (0, "{\"schema\":\"plimsoll.watch/1\",\"verdict\":\"clean\",\"sites\":[{}]}", "no state"),
        ] {
            let error = Answer::read(&ended(code, output)).expect_err("it is no answer");
            assert!(error.contains(why), "{error}");
        }
    }
}
