//! The types a setting can have, each with how it is read, shown and called in an error.
//!
//! A flag and a variable are text; the file has types of its own. A size or a time is text there too
//! (`"64MiB"`), a count is a whole number, and nothing is turned quietly from one into the other: a bare
//! `30` where a time belongs is an error, not thirty of somebody's favourite unit.

use std::net::SocketAddr;
use std::time::Duration;

use plimsoll_core::Bytes;
use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use crate::settings::error::Mismatch;

/// A value as it was found, before it has a type.
#[derive(Clone, Copy)]
pub(crate) enum Raw<'a> {
    /// From a flag or a variable.
    Text(&'a str),
    /// From the file, with its place in it.
    Toml(&'a Spanned<DeValue<'a>>),
}

/// The type of a setting.
pub(crate) trait Value: Sized {
    /// What it is called in an error: "a size".
    const WHAT: &'static str;
    /// An example, as it is written in a flag.
    const EXAMPLE: &'static str;
    /// Its unit, where the type knows it.
    const UNIT: &'static str = "";

    /// Reads it, or says that it is something else.
    fn read(raw: Raw<'_>) -> Result<Self, Mismatch>;

    /// Writes it as people do; what is shown can be read again.
    fn show(&self) -> String;

    /// The value for a program: a count as a number, a size in bytes, a time in milliseconds.
    fn json(&self) -> Json;

    /// How a shown value is written in the file.
    fn quote(shown: &str) -> String {
        format!("\"{shown}\"")
    }
}

impl<'a> Raw<'a> {
    /// The text of a flag, of a variable, or of a string in the file.
    pub(crate) fn text(self) -> Option<&'a str> {
        match self {
            Raw::Text(text) => Some(text),
            Raw::Toml(value) => value.get_ref().as_str(),
        }
    }

    /// The digits of a whole number in the file, without sign for zero and above.
    fn integer(self) -> Option<u64> {
        let Raw::Toml(value) = self else { return None };
        let integer = value.get_ref().as_integer()?;
        u64::from_str_radix(integer.as_str(), integer.radix()).ok()
    }

    /// What was found, for an error: short, and without control characters.
    pub(crate) fn found(self) -> String {
        match self {
            Raw::Text(text) => quoted(text),
            Raw::Toml(value) => match value.get_ref() {
                DeValue::String(text) => format!("the string {}", quoted(text)),
                DeValue::Integer(number) => format!("the number {}", quoted(&number.to_string())),
                DeValue::Float(number) => format!("the number {}", quoted(number.as_str())),
                DeValue::Boolean(value) => format!("`{value}`"),
                DeValue::Datetime(_) => "a date".into(),
                DeValue::Array(_) => "a list".into(),
                DeValue::Table(_) => "a table".into(),
            },
        }
    }
}

/// How many characters of what was found stand in an error; the rest is not needed to find the place.
const FOUND_CHARS_MAX: usize = 60;

/// `text` in backquotes, cut, with control characters made visible so that no terminal obeys them.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown = String::from("`");
    for (index, c) in text.chars().enumerate() {
        if index == FOUND_CHARS_MAX {
            shown.push('…');
            break;
        }
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown.push('`');
    shown
}

impl Value for Bytes {
    const WHAT: &'static str = "a size in B, KiB, MiB, GiB or TiB";
    const EXAMPLE: &'static str = "64MiB";
    const UNIT: &'static str = "bytes";

    fn read(raw: Raw<'_>) -> Result<Bytes, Mismatch> {
        match raw.text() {
            Some(text) => text.parse().map_err(|_| Mismatch::Whole),
            None => raw.integer().map(Bytes::new).ok_or(Mismatch::Whole),
        }
    }

    /// `64MiB` where that is exact, all the digits where it would be rounded.
    fn show(&self) -> String {
        let short = self.to_string();
        if short.parse() == Ok(*self) { short } else { self.as_u64().to_string() }
    }

    fn json(&self) -> Json {
        json!(self.as_u64())
    }
}

impl Value for Option<Bytes> {
    const WHAT: &'static str = Bytes::WHAT;
    const EXAMPLE: &'static str = Bytes::EXAMPLE;
    const UNIT: &'static str = Bytes::UNIT;

    fn read(raw: Raw<'_>) -> Result<Option<Bytes>, Mismatch> {
        Bytes::read(raw).map(Some)
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "unset".into(), Value::show)
    }

    fn json(&self) -> Json {
        self.as_ref().map_or(Json::Null, Value::json)
    }
}

impl Value for Duration {
    const WHAT: &'static str = "a time with its unit";
    const EXAMPLE: &'static str = "90s";
    const UNIT: &'static str = "time";

    fn read(raw: Raw<'_>) -> Result<Duration, Mismatch> {
        let text = raw.text().ok_or(Mismatch::Whole)?;
        humantime::parse_duration(text.trim()).map_err(|_| Mismatch::Whole)
    }

    /// In the largest of hours, seconds and milliseconds that is exact. No minutes: `m` is too many things.
    fn show(&self) -> String {
        let seconds = self.as_secs();
        if !self.subsec_nanos().is_multiple_of(1_000_000) {
            humantime::format_duration(*self).to_string()
        } else if self.subsec_nanos() != 0 {
            format!("{}ms", self.as_millis())
        } else if seconds != 0 && seconds.is_multiple_of(3600) {
            format!("{}h", seconds / 3600)
        } else {
            format!("{seconds}s")
        }
    }

    fn json(&self) -> Json {
        if self.subsec_nanos().is_multiple_of(1_000_000) {
            json!(u64::try_from(self.as_millis()).unwrap_or(u64::MAX))
        } else {
            json!(self.as_secs_f64() * 1000.0)
        }
    }
}

macro_rules! count {
    ($type:ty, $example:literal) => {
        impl Value for $type {
            const WHAT: &'static str = "a whole number";
            const EXAMPLE: &'static str = $example;

            fn read(raw: Raw<'_>) -> Result<$type, Mismatch> {
                let number = match raw {
                    Raw::Text(text) => text.trim().parse().ok(),
                    Raw::Toml(_) => raw.integer(),
                };
                number.and_then(|number: u64| <$type>::try_from(number).ok()).ok_or(Mismatch::Whole)
            }

            fn show(&self) -> String {
                self.to_string()
            }

            fn json(&self) -> Json {
                json!(self)
            }

            fn quote(shown: &str) -> String {
                shown.to_string()
            }
        }
    };
}

count!(usize, "100");
count!(u8, "80");

impl Value for SocketAddr {
    const WHAT: &'static str = "an IP address and a port";
    const EXAMPLE: &'static str = "127.0.0.1:7077";

    fn read(raw: Raw<'_>) -> Result<SocketAddr, Mismatch> {
        let text = raw.text().ok_or(Mismatch::Whole)?;
        text.trim().parse().map_err(|_| Mismatch::Whole)
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn json(&self) -> Json {
        json!(self.to_string())
    }
}

/// How many host names may be listed: each is compared with the `Host` of every request.
const HOSTS_MAX: usize = 100;

/// The longest name that the domain name system knows, in bytes.
const HOST_BYTES_MAX: usize = 253;

/// A list of host names, in lower case.
impl Value for Vec<String> {
    const WHAT: &'static str = "at most 100 host names without scheme and port, with commas between them";
    const EXAMPLE: &'static str = "plimsoll.example.org";

    fn read(raw: Raw<'_>) -> Result<Vec<String>, Mismatch> {
        let names: Vec<String> = match raw {
            Raw::Text(text) if text.trim().is_empty() => Vec::new(),
            Raw::Text(text) => {
                text.split(',').map(host_name).collect::<Option<_>>().ok_or(Mismatch::Whole)?
            }
            Raw::Toml(value) => {
                let list = value.get_ref().as_array().ok_or(Mismatch::Whole)?;
                let names = list.iter().map(|name| name.get_ref().as_str().and_then(host_name));
                names.collect::<Option<_>>().ok_or(Mismatch::Whole)?
            }
        };
        if names.len() > HOSTS_MAX { Err(Mismatch::Whole) } else { Ok(names) }
    }

    fn show(&self) -> String {
        self.join(",")
    }

    fn json(&self) -> Json {
        json!(self)
    }

    fn quote(shown: &str) -> String {
        format!("[\"{shown}\"]")
    }
}

/// A host name or an address in brackets, in lower case.
fn host_name(text: &str) -> Option<String> {
    let name = text.trim();
    let plain = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
    };
    (plain && !name.is_empty() && name.len() <= HOST_BYTES_MAX).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<T: Value>(text: &str) -> Option<T> {
        T::read(Raw::Text(text)).ok()
    }

    fn toml<T: Value>(text: &str) -> Option<T> {
        let value = DeValue::parse(text).expect("the test's TOML is well formed");
        T::read(Raw::Toml(&value)).ok()
    }

    #[test]
    fn sizes_are_text_or_a_number_of_bytes() {
        assert_eq!(text("64MiB"), Some(Bytes::mib(64)));
        assert_eq!(text("4096"), Some(Bytes::kib(4)));
        assert_eq!(toml("\"64MiB\""), Some(Bytes::mib(64)));
        assert_eq!(toml("4_096"), Some(Bytes::kib(4)));
        assert_eq!(toml("0x1000"), Some(Bytes::kib(4)));
        for wrong in ["64MB", "", "-1", "many"] {
            assert_eq!(text::<Bytes>(wrong), None, "{wrong}");
        }
        for wrong in ["-1", "1.5", "true", "[1]", "2020-01-01", "99999999999999999999"] {
            assert_eq!(toml::<Bytes>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_is_exact_and_can_be_read_again() {
        for bytes in [0, 1, 1023, 1024, 1_000_000, 1 << 26, (1 << 26) + 1, u64::MAX] {
            let bytes = Bytes::new(bytes);
            assert_eq!(text(&bytes.show()), Some(bytes), "{}", bytes.show());
        }
        for (shown, nanos) in [
            ("0s", 0),
            ("100ms", 100_000_000),
            ("90s", 90_000_000_000),
            ("300s", 300_000_000_000),
            ("1h", 3_600_000_000_000),
            ("1us 500ns", 1_500),
        ] {
            let time = Duration::from_nanos(nanos);
            assert_eq!(time.show(), shown);
            assert_eq!(text(shown), Some(time));
        }
    }

    #[test]
    fn a_time_without_a_unit_is_not_guessed_at() {
        assert_eq!(text::<Duration>("30"), None);
        assert_eq!(toml::<Duration>("30"), None);
        assert_eq!(text::<Duration>("-1s"), None);
        assert_eq!(text("1h 30m"), Some(Duration::from_secs(5400)));
    }

    #[test]
    fn counts_are_whole_numbers_and_a_string_in_the_file_is_none() {
        assert_eq!(text("100"), Some(100_usize));
        assert_eq!(toml("1_000"), Some(1000_usize));
        assert_eq!(toml::<usize>("\"100\""), None);
        assert_eq!(toml::<usize>("1.0"), None);
        assert_eq!(text::<u8>("256"), None);
        assert_eq!(text::<usize>("-5"), None);
    }

    #[test]
    fn hosts_are_names_without_scheme_and_port() {
        assert_eq!(text("A.example, [::1]"), Some(vec!["a.example".to_string(), "[::1]".to_string()]));
        assert_eq!(text(""), Some(Vec::<String>::new()));
        assert_eq!(toml("[\"a\", \"b\"]"), Some(vec!["a".to_string(), "b".to_string()]));
        for wrong in ["a,,b", "http://a", "a:80", "a b", "*", "[::1", &"a".repeat(254), &"a,".repeat(101)] {
            assert_eq!(text::<Vec<String>>(wrong), None, "{wrong}");
        }
        assert_eq!(toml::<Vec<String>>("\"a\""), None);
        assert_eq!(toml::<Vec<String>>("[1]"), None);
    }

    #[test]
    fn what_was_found_is_short_and_harmless() {
        let shown = quoted(&format!("\u{1b}[31m\n{}", "x".repeat(1000)));
        assert!(shown.starts_with("`\\u{1b}[31m\\nx"), "{shown}");
        assert!(shown.chars().count() < 80, "{shown}");
    }
}
