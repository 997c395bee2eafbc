//! Topic names: short, printable, and the same in a URL, a log line and a settings file.
//!
//! A name comes from a stranger's URL. It is checked once, here, and carried as a [`TopicName`] from then
//! on, so that no later place has to wonder about `..`, control characters or a name of a megabyte.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name, in bytes.
pub const TOPIC_NAME_BYTES_MAX: usize = 200;

/// A valid topic name. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Checks `text`: 1 to [`TOPIC_NAME_BYTES_MAX`] bytes, segments of `A-Z a-z 0-9 . _ : -` joined by
    /// `/`, none of them empty, `.` or `..`.
    ///
    /// # Errors
    /// [`TopicNameError`] says what is wrong and what is allowed.
    pub fn parse(text: &str) -> Result<TopicName, TopicNameError> {
        match fault(text) {
            None => Ok(TopicName(text.into())),
            // What is echoed back is cut: the text may come from a stranger.
            Some(fault) => Err(TopicNameError { text: text.chars().take(40).collect(), fault }),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn fault(text: &str) -> Option<TopicNameFault> {
    if text.is_empty() {
        return Some(TopicNameFault::Empty);
    }
    // Before anything walks over the text, however long it is.
    if text.len() > TOPIC_NAME_BYTES_MAX {
        return Some(TopicNameFault::TooLong { bytes: text.len() });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._:-/".contains(c);
    if let Some((at, character)) = text.char_indices().find(|(_, c)| !allowed(*c)) {
        return Some(TopicNameFault::BadCharacter { character, at });
    }
    text.split('/').find_map(|segment| match segment {
        "" => Some(TopicNameFault::EmptySegment),
        "." | ".." => Some(TopicNameFault::DotSegment),
        _ => None,
    })
}

impl FromStr for TopicName {
    type Err = TopicNameError;

    fn from_str(text: &str) -> Result<TopicName, TopicNameError> {
        TopicName::parse(text)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicNameFault {
    /// There is no text.
    Empty,
    /// It is longer than [`TOPIC_NAME_BYTES_MAX`].
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Two slashes in a row, or one at an end.
    EmptySegment,
    /// A segment is `.` or `..`, which a URL library would resolve as a path.
    DotSegment,
    /// A character that names do not have.
    BadCharacter {
        /// The character.
        character: char,
        /// Its place, in bytes from the start.
        at: usize,
    },
}

/// A text that is no topic name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicNameError {
    /// The beginning of the text, at most 40 characters.
    pub text: String,
    /// What is wrong with it.
    pub fault: TopicNameFault,
}

impl fmt::Display for TopicNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a topic name: ", self.text)?;
        match self.fault {
            TopicNameFault::Empty => f.write_str("it is empty")?,
            TopicNameFault::TooLong { bytes } => write!(f, "it is {bytes} bytes long")?,
            TopicNameFault::EmptySegment => f.write_str("it has an empty segment")?,
            TopicNameFault::DotSegment => f.write_str("a segment is `.` or `..`")?,
            TopicNameFault::BadCharacter { character, at } => write!(f, "{character:?} at byte {at}")?,
        }
        write!(
            f,
            "; a name is 1 to {TOPIC_NAME_BYTES_MAX} bytes: segments of A-Z a-z 0-9 . _ : - joined by /, \
             none of them empty, `.` or `..`"
        )
    }
}

impl std::error::Error for TopicNameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_people_write() {
        for text in ["a", "tests/ExampleTask/1", "v1.2_x:y-z", "...", "a/..b", &"x".repeat(200)] {
            assert_eq!(TopicName::parse(text).expect(text).as_str(), text);
        }
    }

    #[test]
    fn refuses_the_rest_and_says_why() {
        for (text, why) in [
            ("", "it is empty"),
            (&*"x".repeat(300), "it is 300 bytes long"),
            ("/a", "an empty segment"),
            ("a/", "an empty segment"),
            ("a//b", "an empty segment"),
            ("a/../b", "a segment is `.` or `..`"),
            (".", "a segment is `.` or `..`"),
            ("a b", "' ' at byte 1"),
            ("a\r\nb", "'\\r' at byte 1"),
            ("naïve", "'ï' at byte 2"),
            ("a*", "'*' at byte 1"),
        ] {
            let error = TopicName::parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(error.contains("1 to 200 bytes"), "{error}");
            assert!(!error.contains('\r') && error.len() < 250, "{error}");
        }
    }
}
