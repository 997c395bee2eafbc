//! The settings that are one word out of a few.
//!
//! They are types of this crate, not of the crates that act on them: what a word is called in a file is
//! a promise to operators and does not move when a library renames a variant.

use serde_json::{Value as Json, json};

use crate::settings::error::Mismatch;
use crate::settings::value::{Raw, Value};

/// Declares an enum with the word for each variant.
macro_rules! words {
    (
        $(#[doc = $doc:literal])+
        $Name:ident {
            $( $(#[doc = $variant_doc:literal])+ $Variant:ident = $word:literal, )+
        }
        one of $what:literal such as $example:literal
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $Name {
            $( $(#[doc = $variant_doc])+ $Variant, )+
        }

        impl $Name {
            /// Every variant, in the order in which they are declared.
            pub const ALL: &[$Name] = &[$($Name::$Variant),+];

            /// The word as it is written in the settings.
            pub const fn word(self) -> &'static str {
                match self {
                    $($Name::$Variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }

        impl Value for $Name {
            const WHAT: &'static str = concat!("one of ", $what);
            const EXAMPLE: &'static str = $example;

            fn read(raw: Raw<'_>) -> Result<$Name, Mismatch> {
                let text = raw.text().ok_or(Mismatch::Whole)?.trim();
                $Name::ALL.iter().copied().find(|variant| variant.word() == text).ok_or(Mismatch::Whole)
            }

            fn show(&self) -> String {
                self.word().to_string()
            }

            fn json(&self) -> Json {
                json!(self.word())
            }
        }
    };
}

words! {
    /// How much is logged.
    LogLevel {
        /// Nothing.
        Off = "off",
        /// What could not be done.
        Error = "error",
        /// And what was lost or refused.
        Warn = "warn",
        /// And what was started and stopped.
        Info = "info",
        /// And each request.
        Debug = "debug",
        /// And each step.
        Trace = "trace",
    }
    one of "off, error, warn, info, debug, trace" such as "info"
}

words! {
    /// How a log line is written.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
    one of "text, json" such as "text"
}

words! {
    /// Whether the pool keeps buffers for the next holder.
    PoolMode {
        /// Free buffers are reused.
        Pooled = "pooled",
        /// Each buffer is allocated and freed: the same interface and limits, to fall back on.
        Direct = "direct",
    }
    one of "pooled, direct" such as "pooled"
}

words! {
    /// How much is kept about each live buffer.
    Tracking {
        /// Nothing beyond its charge: a leak is counted, its place is not known.
        Off = "off",
        /// The place always, a stack at a limited rate.
        Cheap = "cheap",
        /// A stack for every lease.
        Full = "full",
    }
    one of "off, cheap, full" such as "cheap"
}

words! {
    /// What happens to a reader that is further behind than its topic allows.
    Policy {
        /// It has a moment to make room, then it is sent away and told why.
        Evict = "evict",
        /// It misses the oldest events and is told how many.
        DropOldest = "drop_oldest",
        /// It misses the newest events and is told how many.
        DropNewest = "drop_newest",
        /// It gets the latest event and misses those between.
        KeepLatest = "keep_latest",
    }
    one of "evict, drop_oldest, drop_newest, keep_latest" such as "evict"
}

words! {
    /// How densely the service's own allocations are sampled.
    Sampling {
        /// Not at all.
        Off = "off",
        /// As densely as half a percent of the CPU time allows.
        Adaptive = "adaptive",
        /// At `heap.interval`.
        Fixed = "fixed",
        /// Each one.
        Every = "every",
    }
    one of "off, adaptive, fixed, every" such as "adaptive"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words are spelled twice, at the variant and in the error; this holds the two together.
    #[test]
    fn the_error_lists_every_word_in_order() {
        fn check<T: Value + Copy>(all: &[T]) {
            let words: Vec<String> = all.iter().map(Value::show).collect();
            assert_eq!(T::WHAT, format!("one of {}", words.join(", ")));
            assert!(words.iter().any(|word| word == T::EXAMPLE));
            for word in words {
                assert_eq!(T::read(Raw::Text(&word)).map(|value| value.show()).ok(), Some(word));
            }
        }
        check(LogLevel::ALL);
        check(LogFormat::ALL);
        check(PoolMode::ALL);
        check(Tracking::ALL);
        check(Policy::ALL);
        check(Sampling::ALL);
        assert!(Policy::read(Raw::Text("Evict ")).is_err());
    }
}
