//! Log lines on standard error, as text or as one JSON object a line.
//!
//! A line that does not say which request it belongs to is useless as soon as two run at the same time.
//! So the fields of all spans around an event stand on its own line, at the top: whoever opens a span with
//! a `correlation_id` has it on every line inside, in both formats. Where two carry the same field the
//! nearer one counts: the event's own, then the inner span's.
//!
//! A line is bounded: a value is cut at [`VALUE_BYTES_MAX`], and how many fields there are is fixed in the
//! code. Lines are written where they arise, whole and one after another; a reader of standard error
//! that stands still makes whoever logs stand still, and no line is dropped.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use plimsoll_core::Bytes;
use plimsoll_gateway::settings::{LogFormat, LogLevel, Settings};
use serde_json::{Value as Json, json};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// How much of one value stands on a line, in bytes; raised, a line that quotes a client's input grows.
const VALUE_BYTES_MAX: Bytes = Bytes::kib(4);

/// The field by which the lines of one request are found.
const CORRELATION_ID: &str = "correlation_id";

/// Starts logging as the settings say, once for the process; later calls change nothing.
pub(crate) fn start(settings: &Settings) {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = io::stderr().is_terminal() && !no_colour;
    let lines = Lines {
        level: level_filter(settings.log_level),
        format: settings.log_format,
        colour,
        out: Mutex::new(Box::new(io::stderr())),
    };
    // It fails only when logging was started before.
    let _ = tracing::subscriber::set_global_default(subscriber(lines));
}

fn subscriber(lines: Lines) -> impl Subscriber + Send + Sync {
    Registry::default().with(lines)
}

/// Turns events into lines.
struct Lines {
    level: LevelFilter,
    format: LogFormat,
    colour: bool,
    /// The lock keeps lines whole.
    out: Mutex<Box<dyn Write + Send>>,
}

/// The fields of a span or of an event, in the order in which they were recorded.
#[derive(Default)]
struct Fields(Vec<(&'static str, Json)>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    /// Events by their level. A span that carries the correlation id is kept at every level: without it the
    /// one error line of a night would be the line that does not say whose it is.
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let carries_id = || metadata.is_span() && metadata.fields().field(CORRELATION_ID).is_some();
        *metadata.level() <= self.level || (self.level != LevelFilter::OFF && carries_id())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        // Formatted before the span's fields are locked: a value whose `Debug` logs would wait for itself.
        let mut news = Fields::default();
        record.record(&mut news);
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            news.0.into_iter().for_each(|(name, value)| fields.put(name, value));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut own = Fields::default();
        event.record(&mut own);
        let mut line = Line::new(event.metadata().level(), event.metadata().target());
        for (name, value) in own.0 {
            if name == "message" { line.message = value } else { line.add(name, value) }
        }
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<Fields>() {
                for (name, value) in &fields.0 {
                    line.add(name, value.clone());
                }
            }
        }
        let text = match self.format {
            LogFormat::Json => line.json(),
            LogFormat::Text => line.text(self.colour),
        };
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // There is nowhere to say that standard error cannot be written to.
        let _ = out.write_all(text.as_bytes());
    }
}

/// One line before it is written.
struct Line<'a> {
    timestamp: String,
    level: &'a Level,
    target: &'a str,
    message: Json,
    fields: Vec<(Cow<'static, str>, Json)>,
}

impl<'a> Line<'a> {
    fn new(level: &'a Level, target: &'a str) -> Line<'a> {
        // A clock before 1970 cannot be written in this form; the epoch says as much.
        let now = SystemTime::now().max(UNIX_EPOCH);
        let timestamp = humantime::format_rfc3339_millis(now).to_string();
        Line { timestamp, level, target, message: json!(""), fields: Vec::new() }
    }

    /// Adds a field unless a nearer one of that name is there. A field with the name of one of the line's own
    /// parts is renamed, so that neither hides the other.
    fn add(&mut self, name: &'static str, value: Json) {
        let name = match name {
            "timestamp" | "level" | "target" | "message" => Cow::Owned(format!("field_{name}")),
            name => Cow::Borrowed(name),
        };
        if !self.fields.iter().any(|(known, _)| *known == name) {
            self.fields.push((name, value));
        }
    }

    fn json(&self) -> String {
        let mut text = format!(
            "{{\"timestamp\":{},\"level\":{},\"target\":{},\"message\":{}",
            json!(self.timestamp),
            json!(self.level.as_str()),
            json!(self.target),
            self.message
        );
        for (name, value) in &self.fields {
            // Writing to a String does not fail.
            let _ = write!(text, ",{}:{value}", json!(name));
        }
        text + "}\n"
    }

    fn text(&self, colour: bool) -> String {
        let (on, off) = if colour { (colour_of(self.level), "\u{1b}[0m") } else { ("", "") };
        let message = match &self.message {
            Json::String(message) => escaped(message),
            other => other.to_string(),
        };
        let level = self.level.as_str();
        let mut text = format!("{} {on}{level:5}{off} {}: {message}", self.timestamp, self.target);
        for (name, value) in &self.fields {
            let _ = match value {
                // Quotes only where the end of the value could not be seen without them.
                Json::String(value) if value.is_empty() || value.contains([' ', '"', '=']) => {
                    write!(text, " {name}={:?}", value)
                }
                Json::String(value) => write!(text, " {name}={}", escaped(value)),
                value => write!(text, " {name}={value}"),
            };
        }
        text + "\n"
    }
}

/// `text` with control characters made visible, so that what is logged can forge no line and no colour.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

const fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

const fn colour_of(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        _ => "\u{1b}[2m",
    }
}

impl Fields {
    /// Records a value; one that is recorded again takes the place of the first.
    fn put(&mut self, field: &'static str, value: Json) {
        match self.0.iter_mut().find(|(name, _)| *name == field) {
            Some((_, known)) => *known = value,
            None => self.0.push((field, value)),
        }
    }

    fn put_text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let mut text = Cut::default();
        // It ends with an error exactly when the rest was cut.
        let _ = text.write_fmt(value);
        self.put(field.name(), Json::String(text.0));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put_text(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), json!(value));
    }
}

/// A text that takes no more than [`VALUE_BYTES_MAX`], so that a value is never formatted whole to be cut.
#[derive(Default)]
struct Cut(String);

impl fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = VALUE_BYTES_MAX.as_usize().saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        self.0.push('…');
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `work` logs.
    fn logged(level: LogLevel, format: LogFormat, work: impl FnOnce()) -> Vec<String> {
        let buffer = Buffer::default();
        let out = Mutex::new(Box::new(buffer.clone()) as Box<dyn Write + Send>);
        with_default(subscriber(Lines { level: level_filter(level), format, colour: false, out }), work);
        let bytes = buffer.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8(bytes).expect("log lines are UTF-8");
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(String::from).collect()
    }

    fn logged_json(work: impl FnOnce()) -> Vec<Json> {
        let lines = logged(LogLevel::Trace, LogFormat::Json, work);
        lines.iter().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    }

    /// Proves D7. (The half about log lines: text or JSON, levels, the correlation id on every line.)
    #[test]
    fn every_line_inside_a_span_carries_its_correlation_id_at_the_top() {
        let work = || {
            let span = tracing::info_span!("ingest", correlation_id = "abc-1", topic = "a/b");
            let _entered = span.enter();
            tracing::info!(chunks = 3, "cut");
            let inner = tracing::debug_span!("chunk", seq = 7);
            let _inside = inner.enter();
            tracing::warn!("slow");
        };
        let lines = logged_json(work);
        assert_eq!(lines.len(), 2);
        for line in &lines {
            assert_eq!(line["correlation_id"], "abc-1");
            assert_eq!(line["topic"], "a/b");
        }
        assert_eq!(
            (&lines[0]["level"], &lines[0]["message"], &lines[0]["chunks"]),
            (&json!("INFO"), &json!("cut"), &json!(3))
        );
        assert_eq!((&lines[1]["level"], &lines[1]["seq"]), (&json!("WARN"), &json!(7)));
        assert!(lines[0]["target"].as_str().is_some_and(|target| target.ends_with("logs::tests")));
        let timestamp = lines[0]["timestamp"].as_str().unwrap_or_default();
        assert!(timestamp.ends_with('Z') && humantime::parse_rfc3339(timestamp).is_ok(), "{timestamp}");

        let lines = logged(LogLevel::Info, LogFormat::Text, work);
        assert!(lines.iter().all(|line| line.contains(" correlation_id=abc-1")), "{lines:?}");
        assert!(lines[0].contains(" INFO  plimsoll::logs::tests: cut chunks=3 "), "{}", lines[0]);
        assert_eq!(lines.len(), 2);

        // The span is of a lower level than what is logged, and its id must be there all the same.
        let lines = logged(LogLevel::Warn, LogFormat::Text, work);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("slow correlation_id=abc-1"), "{}", lines[0]);
    }

    #[test]
    fn levels_below_the_set_one_are_not_written() {
        let work = || {
            tracing::error!("1");
            tracing::warn!("2");
            tracing::info!("3");
            tracing::debug!("4");
            tracing::trace!("5");
        };
        for (level, count) in LogLevel::ALL.iter().zip(0..) {
            assert_eq!(logged(*level, LogFormat::Text, work).len(), count, "{level}");
        }
    }

    #[test]
    fn the_nearest_field_counts_and_none_hides_a_part_of_the_line() {
        let lines = logged_json(|| {
            let outer = tracing::info_span!("outer", id = 1, level = "deep", late = tracing::field::Empty);
            let _entered = outer.enter();
            outer.record("late", "came");
            outer.record("id", 2);
            tracing::info!("without");
            tracing::info!(id = 3, timestamp = "never", "with");
        });
        assert_eq!((&lines[0]["id"], &lines[1]["id"]), (&json!(2), &json!(3)));
        assert_eq!((&lines[0]["late"], &lines[0]["field_level"]), (&json!("came"), &json!("deep")));
        assert_eq!((&lines[0]["level"], &lines[1]["field_timestamp"]), (&json!("INFO"), &json!("never")));
    }

    #[test]
    fn what_a_stranger_sent_can_forge_no_line_and_make_none_long() {
        let evil = "a\nINFO forged\u{1b}[31m";
        let long = "ä".repeat(1 << 20);
        let work = || {
            tracing::info!(path = %evil, long = ?long, "{evil}");
        };
        let lines = logged(LogLevel::Info, LogFormat::Text, work);
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].contains('\u{1b}') && lines[0].contains("a\\nINFO forged"), "{:.200}", lines[0]);
        assert!(lines[0].len() < 2 * VALUE_BYTES_MAX.as_usize());
        let lines = logged_json(work);
        assert_eq!(lines.len(), 1);
        assert_eq!((&lines[0]["path"], &lines[0]["message"]), (&json!(evil), &json!(evil)));
    }

    #[test]
    fn every_type_of_value_is_written() {
        let lines = logged_json(|| {
            let error = io::Error::other("broken");
            let error: &dyn std::error::Error = &error;
            tracing::info!(yes = true, low = -5, high = u64::MAX, part = 0.5, none = f64::NAN, error, "all");
        });
        let line = &lines[0];
        assert_eq!(
            (&line["yes"], &line["low"], &line["high"], &line["part"]),
            (&json!(true), &json!(-5), &json!(u64::MAX), &json!(0.5))
        );
        assert_eq!((&line["none"], &line["error"]), (&Json::Null, &json!("broken")));
    }
}
