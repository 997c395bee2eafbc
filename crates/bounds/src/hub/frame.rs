//! Server-sent events as text: framed once, shared by every reader.
//!
//! The id stands first in a frame but is known last, under the topic's lock. Everything else is written
//! before, behind room for the longest id line; numbering then copies some forty bytes, however large the
//! event.
//!
//! Words: a *frame* is the complete text of one event; a *control frame* (`reset`, `gap`, `evicted`) is
//! made for one reader and has no id line, so that it never becomes the reader's `Last-Event-ID`.

use std::fmt;
use std::io::Write;

use bytes::{Buf, Bytes};

use super::event_id::{EVENT_ID_BYTES_MAX, EventId};
use super::policy::{Lag, QueueLimits};

/// The longest event type, in characters.
pub const EVENT_TYPE_CHARS_MAX: usize = 100;

/// The longest id line: `id: `, the id, the line's end.
pub(super) const ID_LINE_BYTES_MAX: usize = 4 + EVENT_ID_BYTES_MAX + 1;

/// An event type that cannot be written on one line of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTypeError {
    /// The beginning of the text, at most 40 characters.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for EventTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not an event type: {}; a type is 1 to {EVENT_TYPE_CHARS_MAX} characters, none of them a \
             control character",
            self.text, self.why
        )
    }
}

impl std::error::Error for EventTypeError {}

/// Checks what would otherwise let a publisher write lines of its own into everybody's stream.
pub(super) fn check_event_type(text: &str) -> Result<(), EventTypeError> {
    let error = |why| Err(EventTypeError { text: text.chars().take(40).collect(), why });
    if text.is_empty() {
        return error("it is empty");
    }
    if text.chars().nth(EVENT_TYPE_CHARS_MAX).is_some() {
        return error("it is too long");
    }
    if text.chars().any(char::is_control) {
        return error("it has a control character");
    }
    Ok(())
}

/// A frame that has everything but its id.
pub(super) struct Unnumbered(Vec<u8>);

impl Unnumbered {
    /// How long the frame will be with the longest id, without writing it.
    pub(super) fn length_max(event_type: &str, data: &str) -> usize {
        let ends = data.bytes().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
        let crlfs = data.as_bytes().windows(2).filter(|pair| pair == b"\r\n").count();
        let lines = ends - crlfs + 1;
        ID_LINE_BYTES_MAX
            + ("event: ".len() + event_type.len() + 1)
            + (data.len() - ends + lines * ("data: ".len() + 1))
            + 1
    }

    /// Writes the frame of a checked `event_type` and `data`.
    pub(super) fn new(event_type: &str, data: &str) -> Unnumbered {
        let length = Unnumbered::length_max(event_type, data);
        let mut text = Vec::with_capacity(length);
        text.resize(ID_LINE_BYTES_MAX, b' ');
        text.extend_from_slice(b"event: ");
        text.extend_from_slice(event_type.as_bytes());
        text.push(b'\n');
        for line in lines(data) {
            text.extend_from_slice(b"data: ");
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        text.push(b'\n');
        debug_assert_eq!(text.len(), length);
        Unnumbered(text)
    }

    /// The finished frame. Allocates nothing.
    pub(super) fn number(self, id: EventId) -> Bytes {
        let mut text = self.0;
        let mut line = [0; ID_LINE_BYTES_MAX];
        let mut free = &mut line[..];
        // The longest id fits: `ID_LINE_BYTES_MAX` is made from it, and a test writes it.
        let written = writeln!(free, "id: {id}");
        debug_assert!(written.is_ok());
        let length = ID_LINE_BYTES_MAX - free.len();
        let start = ID_LINE_BYTES_MAX - length;
        text[start..ID_LINE_BYTES_MAX].copy_from_slice(&line[..length]);
        let mut frame = Bytes::from(text);
        frame.advance(start);
        frame
    }
}

/// The lines of `data`, ended by LF, CRLF or CR as in the format's standard. One more than there are line
/// ends, so that the reader gets back what was published, line ends made LF.
fn lines(data: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let after = &text[end..];
        let skip = if after.starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&after[skip..]);
        Some(&text[..end])
    })
}

/// Why a reader's history does not connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResetReason {
    /// The event it asks to go on from is no longer held.
    HistoryExceeded,
    /// It knew another life of the topic.
    UnknownEpoch,
    /// What it sent was never an id of this topic.
    InvalidId,
}

impl ResetReason {
    const fn name(self) -> &'static str {
        match self {
            ResetReason::HistoryExceeded => "history_exceeded",
            ResetReason::UnknownEpoch => "unknown_epoch",
            ResetReason::InvalidId => "invalid_id",
        }
    }
}

/// Tells a reader that what follows does not join what it had.
pub(super) fn reset(
    reason: ResetReason,
    asked: Option<EventId>,
    oldest: Option<EventId>,
    latest: Option<EventId>,
) -> Bytes {
    control(
        "reset",
        format_args!(
            r#"{{"reason":"{}","asked":{},"oldest":{},"latest":{}}}"#,
            reason.name(),
            OrNull(asked),
            OrNull(oldest),
            OrNull(latest)
        ),
    )
}

/// Why events between two of a reader's are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GapReason {
    DropOldest,
    DropNewest,
    KeepLatest,
    /// The ring let them go before the reader came to them.
    History,
}

impl GapReason {
    const fn name(self) -> &'static str {
        match self {
            GapReason::DropOldest => "drop_oldest",
            GapReason::DropNewest => "drop_newest",
            GapReason::KeepLatest => "keep_latest",
            GapReason::History => "history",
        }
    }
}

/// Tells a reader which events it will not get: `first..=last` of `epoch`.
pub(super) fn gap(reason: GapReason, epoch: u64, first: u64, last: u64) -> Bytes {
    let (from, to) = (EventId { epoch, offset: first }, EventId { epoch, offset: last });
    let missed = last + 1 - first;
    let reason = reason.name();
    control(
        "gap",
        format_args!(r#"{{"missed_events":{missed},"from":"{from}","to":"{to}","reason":"{reason}"}}"#),
    )
}

/// The last frame of a reader that is sent away.
pub(super) fn evicted(reason: &str, lag: Lag, limits: &QueueLimits, resume_after: EventId) -> Bytes {
    control(
        "evicted",
        format_args!(
            r#"{{"reason":"{reason}","lag_events":{},"lag_bytes":{},"limit_events":{},"limit_bytes":{},"resume_after":"{resume_after}"}}"#,
            lag.events,
            lag.bytes,
            limits.events_max,
            limits.bytes_max.as_u64(),
        ),
    )
}

/// `data` is one line of JSON whose texts are ids and words of ours: nothing in it needs escaping.
fn control(event_type: &str, data: fmt::Arguments<'_>) -> Bytes {
    Bytes::from(format!("event: {event_type}\ndata: {data}\n\n"))
}

struct OrNull(Option<EventId>);

impl fmt::Display for OrNull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, "\"{id}\""),
            None => f.write_str("null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(event_type: &str, data: &str) -> String {
        let frame = Unnumbered::new(event_type, data).number(EventId { epoch: 0xab, offset: 7 });
        String::from_utf8(frame.to_vec()).expect("it was text")
    }

    #[test]
    fn writes_the_format_of_server_sent_events() {
        assert_eq!(framed("message", "hello"), "id: ab-7\nevent: message\ndata: hello\n\n");
        assert_eq!(framed("x", ""), "id: ab-7\nevent: x\ndata: \n\n");
        assert_eq!(
            framed("x", "a\nb\r\nc\rd\n"),
            "id: ab-7\nevent: x\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"
        );
        assert_eq!(framed("x", "\r\r\n\n"), "id: ab-7\nevent: x\ndata: \ndata: \ndata: \ndata: \n\n");
    }

    #[test]
    fn the_longest_id_fits() {
        let longest = EventId { epoch: u64::MAX, offset: u64::MAX };
        let frame = Unnumbered::new("x", "y").number(longest);
        assert_eq!(frame.len(), Unnumbered::length_max("x", "y"));
        assert!(frame.starts_with(format!("id: {longest}\n").as_bytes()));
    }

    #[test]
    fn nobody_writes_lines_of_their_own_into_a_stream() {
        for (event_type, why) in [
            ("", "empty"),
            ("a\nid: 1", "control character"),
            ("a\rb", "control character"),
            ("a\0", "control character"),
            ("a\u{85}b", "control character"),
            (&*"é".repeat(101), "too long"),
        ] {
            let error = check_event_type(event_type).expect_err(why).to_string();
            assert!(error.contains(why) && !error.contains('\n'), "{error}");
        }
        assert_eq!(check_event_type(&"é".repeat(100)), Ok(()));
    }

    #[test]
    fn control_frames_have_no_id_and_say_what_happened() {
        let id = |offset| EventId { epoch: 0xab, offset };
        let text = |frame: Bytes| String::from_utf8(frame.to_vec()).expect("it was text");
        assert_eq!(
            text(reset(ResetReason::HistoryExceeded, Some(id(1)), Some(id(5)), Some(id(9)))),
            "event: reset\ndata: {\"reason\":\"history_exceeded\",\"asked\":\"ab-1\",\"oldest\":\"ab-5\",\
             \"latest\":\"ab-9\"}\n\n"
        );
        assert_eq!(
            text(reset(ResetReason::InvalidId, None, None, None)),
            "event: reset\ndata: {\"reason\":\"invalid_id\",\"asked\":null,\"oldest\":null,\"latest\":null}\n\n"
        );
        assert_eq!(
            text(gap(GapReason::History, 0xab, 3, 5)),
            "event: gap\ndata: {\"missed_events\":3,\"from\":\"ab-3\",\"to\":\"ab-5\",\"reason\":\"history\"}\n\n"
        );
    }
}
