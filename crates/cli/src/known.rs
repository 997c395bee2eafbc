//! What is known beforehand: `[[verdict.bounds]]` and `[[verdict.suppressions]]` in a settings file.
//!
//! The file may be the service's own, so its other sections are let pass. A key that is not known in ours is an error
//! that names it: a suppression with a typing error would be none.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use plimsoll_core::Bytes;
use plimsoll_gateway::settings::{FILE_BYTES_MAX, TABLE};
use plimsoll_verdict::judge::{Bound, Known, Suppression};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::exit::Failure;

/// What is read if nobody names a file.
const FILE_DEFAULT: &str = "plimsoll.toml";
const SECTION: &str = "verdict";

/// Reads the file that the user named, or `plimsoll.toml` here, if there is one.
pub(crate) fn load(asked: Option<&Path>) -> Result<Known, Failure> {
    let path = asked.unwrap_or(Path::new(FILE_DEFAULT));
    let shown = path.display();
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX.as_u64();
    match File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == ErrorKind::NotFound && asked.is_none() => return Ok(Known::default()),
        Err(error) => return Err(Failure::usage(format!("{shown} cannot be read: {error}"))),
        Ok(_) if bytes.len() as u64 > limit => {
            return Err(Failure::usage(format!(
                "{shown} is larger than {FILE_BYTES_MAX}: is it a settings file?"
            )));
        }
        Ok(_) => {}
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format!("{shown} is no text: is it a settings file?")))?;
    parse(&text).map_err(|Wrong { at, what }| {
        let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        Failure::usage(format!("{shown}:{line}: {what}"))
    })
}

/// What is wrong, and at which byte.
#[derive(Debug)]
struct Wrong {
    at: usize,
    what: String,
}

type Value<'a> = Spanned<DeValue<'a>>;

fn parse(text: &str) -> Result<Known, Wrong> {
    let document = DeTable::parse(text).map_err(|error| Wrong {
        at: error.span().map_or(0, |span| span.start),
        what: error.message().replace('\n', ", "),
    })?;
    let mut known = Known::default();
    let Some(section) = document.get_ref().get(SECTION) else { return Ok(known) };
    let DeValue::Table(section) = section.get_ref() else {
        return Err(wrong(section, format!("`{SECTION}` is a table, such as [[{SECTION}.bounds]]")));
    };
    for (key, value) in section {
        match &**key.get_ref() {
            "bounds" => known.bounds = entries(value, "bounds", bound)?,
            "suppressions" => known.suppressions = entries(value, "suppressions", suppression)?,
            // What the service is set by.
            other if TABLE.iter().any(|entry| entry.key() == format!("{SECTION}.{other}")) => {}
            other => {
                return Err(Wrong {
                    at: key.span().start,
                    what: format!("unknown key `{SECTION}.{other}`; there are `bounds` and `suppressions`"),
                });
            }
        }
    }
    Ok(known)
}

fn wrong(value: &Value<'_>, what: String) -> Wrong {
    Wrong { at: value.span().start, what }
}

/// The entries of a list of tables.
fn entries<T>(
    list: &Value<'_>,
    name: &str,
    read: impl Fn(&Value<'_>, &DeTable<'_>) -> Result<T, Wrong>,
) -> Result<Vec<T>, Wrong> {
    let shape =
        |value: &Value<'_>| wrong(value, format!("`{SECTION}.{name}` is a list: write [[{SECTION}.{name}]]"));
    let DeValue::Array(list_of) = list.get_ref() else { return Err(shape(list)) };
    let entry = |value: &Value<'_>| match value.get_ref() {
        DeValue::Table(table) => read(value, table),
        _ => Err(shape(value)),
    };
    list_of.iter().map(entry).collect()
}

fn bound(place: &Value<'_>, table: &DeTable<'_>) -> Result<Bound, Wrong> {
    let mut bound = Bound::default();
    for (key, value) in table {
        match &**key.get_ref() {
            "function" => bound.function = text(key, value)?,
            "bytes_max" => {
                let size = text(key, value)?.parse::<Bytes>();
                bound.bytes_max =
                    Some(size.map_err(|error| wrong(value, format!("`bytes_max` is a size: {error}")))?);
            }
            "lifetime_max" => {
                let time = humantime::parse_duration(&text(key, value)?);
                let time: Duration = time.map_err(|error| {
                    wrong(value, format!("`lifetime_max` is a time such as \"2h\": {error}"))
                })?;
                bound.lifetime_max = Some(time);
            }
            other => return Err(unknown(key, other, "`function`, `bytes_max` and `lifetime_max`")),
        }
    }
    has_function(place, &bound.function)?;
    if bound.bytes_max.is_none() && bound.lifetime_max.is_none() {
        return Err(wrong(place, "a bound has `bytes_max`, `lifetime_max`, or both".to_owned()));
    }
    Ok(bound)
}

fn suppression(place: &Value<'_>, table: &DeTable<'_>) -> Result<Suppression, Wrong> {
    let (mut suppression, mut expires) = (Suppression::default(), None);
    for (key, value) in table {
        match &**key.get_ref() {
            "function" => suppression.function = text(key, value)?,
            "reason" => suppression.reason = text(key, value)?,
            "expires" => expires = Some(day(key, value)?),
            other => return Err(unknown(key, other, "`function`, `reason` and `expires`")),
        }
    }
    has_function(place, &suppression.function)?;
    let missing = |what: &str| wrong(place, format!("a suppression has {what}"));
    suppression.expires_unix_ms =
        expires.ok_or_else(|| missing("`expires`, a day such as \"2027-03-01\": none is for ever"))?;
    if suppression.reason.is_empty() {
        return Err(missing("a `reason`"));
    }
    Ok(suppression)
}

fn has_function(place: &Value<'_>, function: &str) -> Result<(), Wrong> {
    if function.is_empty() {
        return Err(wrong(
            place,
            "it has no `function`: the end of its path, such as \"Cache::put\"".to_owned(),
        ));
    }
    Ok(())
}

type Key<'a> = Spanned<std::borrow::Cow<'a, str>>;

fn text(key: &Key<'_>, value: &Value<'_>) -> Result<String, Wrong> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        _ => Err(wrong(value, format!("`{}` is text, in quotes", key.get_ref()))),
    }
}

/// A day, in quotes or without, as the moment at which it begins in UTC.
fn day(key: &Key<'_>, value: &Value<'_>) -> Result<u64, Wrong> {
    let text = match value.get_ref() {
        DeValue::Datetime(day) => day.to_string(),
        _ => text(key, value)?,
    };
    let moment = humantime::parse_rfc3339(&format!("{text}T00:00:00Z"));
    let moment = moment
        .map_err(|_| wrong(value, format!("`expires` is a day such as \"2027-03-01\", not {text:?}")))?;
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn unknown(key: &Key<'_>, name: &str, there_are: &str) -> Wrong {
    Wrong { at: key.span().start, what: format!("unknown key `{name}`; there are {there_are}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_suppressions_are_read_and_other_sections_let_pass() {
        let known = parse(
            "memory_limit = \"1GiB\"\n[hub]\npolicy = \"evict\"\n[verdict]\nwarm_up = \"1s\"\n\
             [[verdict.bounds]]\nfunction = \"Cache::put\"\nbytes_max = \"64MiB\"\nlifetime_max = \"2h\"\n\
             [[verdict.suppressions]]\nfunction = \"legacy::index\"\nreason = \"issue 1234\"\nexpires = \"2027-03-01\"\n\
             [[verdict.suppressions]]\nfunction = \"x\"\nreason = \"y\"\nexpires = 1970-01-02\n",
        )
        .expect("all is known");
        assert_eq!(known.bounds.len(), 1);
        assert_eq!(known.bounds[0].bytes_max, Some(Bytes::mib(64)));
        assert_eq!(known.bounds[0].lifetime_max, Some(Duration::from_secs(7200)));
        assert_eq!(known.suppressions[0].expires_unix_ms, 1_803_859_200_000);
        assert_eq!(known.suppressions[1].expires_unix_ms, 86_400_000);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("[verdict]\nbound = 1", "`verdict.bound`"),
            ("[[verdict.bounds]]\nfunction = \"a\"\nbyte_max = \"1\"", "`byte_max`"),
            ("[[verdict.bounds]]\nfunction = \"a\"", "`bytes_max`"),
            ("[[verdict.bounds]]\nbytes_max = \"1\"", "`function`"),
            ("[[verdict.bounds]]\nfunction = \"a\"\nbytes_max = 64", "in quotes"),
            ("[[verdict.bounds]]\nfunction = \"a\"\nlifetime_max = \"2\"", "`lifetime_max`"),
            ("[[verdict.suppressions]]\nfunction = \"a\"\nreason = \"b\"", "`expires`"),
            ("[[verdict.suppressions]]\nfunction = \"a\"\nreason = \"b\"\nexpires = \"soon\"", "soon"),
            ("[verdict.bounds]\nfunction = \"a\"", "[[verdict.bounds]]"),
            ("verdict = 1", "[[verdict.bounds]]"),
            ("[verdict", ""),
        ] {
            let wrong = parse(text).expect_err(text);
            assert!(wrong.what.contains(named), "{text}: {}", wrong.what);
        }
    }
}
