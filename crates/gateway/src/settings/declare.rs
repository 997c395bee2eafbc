//! The macro `settings!` that turns one declaration into typed structs and the table of their entries.
//!
//! A setting that is declared in two places (struct here, flag there, page elsewhere) ends up with two
//! defaults. Here the struct field, its default, its range and its words stand together, and everything
//! else is computed from them.

use crate::settings::error::Mismatch;
use crate::settings::table::Settings;
use crate::settings::value::{Raw, Value};

/// What is known about one setting: its names, its words, and how it is read and shown.
pub struct Entry {
    pub(crate) section: &'static str,
    pub(crate) name: &'static str,
    pub(crate) key: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) facts: Facts,
    /// What the type is called in an error: "a size".
    pub(crate) what: &'static str,
    /// An example for a setting whose default is unset or empty.
    pub(crate) type_example: &'static str,
    pub(crate) type_unit: &'static str,
    /// Writes an example as it stands in the file.
    pub(crate) quote: fn(&str) -> String,
    /// The smallest and the largest value, as text.
    pub(crate) range: fn() -> Option<[String; 2]>,
    pub(crate) set: fn(&mut Settings, Raw<'_>) -> Result<(), Mismatch>,
    pub(crate) show: fn(&Settings) -> String,
    pub(crate) json: fn(&Settings) -> serde_json::Value,
}

/// The words about a setting that its type does not say.
pub(crate) struct Facts {
    /// What is counted; empty where the type says it (sizes, times).
    pub(crate) unit: &'static str,
    /// What 0 means, where it is allowed and not simply "none".
    pub(crate) zero: &'static str,
    /// Worst-case memory, as a product of named settings.
    pub(crate) cost: &'static str,
    /// The setting that this one, unset, is a share of; empty when it has a default of its own.
    pub(crate) share_of: &'static str,
    /// How large that share is.
    pub(crate) share: &'static str,
    /// Too long for a flag or a variable: can be set in the file only.
    pub(crate) file_only: bool,
}

impl Facts {
    pub(crate) const NONE: Facts =
        Facts { unit: "", zero: "", cost: "", share_of: "", share: "", file_only: false };
}

impl Entry {
    /// The name in the file, with its section: `hub.queue_events_max`.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// The table of the file in which it stands; empty for the settings at the top.
    pub fn section(&self) -> &'static str {
        self.section
    }

    /// The long flag without its dashes, `hub-queue-events-max`; none for what can be set in the file only.
    pub fn flag(&self) -> Option<String> {
        (!self.facts.file_only).then(|| self.key.replace(['.', '_'], "-"))
    }

    /// The environment variable, `PLIMSOLL_HUB_QUEUE_EVENTS_MAX`; none for what can be set in the file only.
    pub fn env(&self) -> Option<String> {
        (!self.facts.file_only).then(|| format!("PLIMSOLL_{}", self.key.replace('.', "_").to_uppercase()))
    }

    /// What the setting means, in a sentence or two.
    pub fn doc(&self) -> &'static str {
        self.doc.trim_start()
    }

    /// What is counted: `bytes`, `time`, `streams`; empty for words and addresses.
    pub fn unit(&self) -> &'static str {
        if self.facts.unit.is_empty() { self.type_unit } else { self.facts.unit }
    }

    /// The default as people write it; for a share, what it is a share of.
    pub fn default_text(&self) -> String {
        if self.facts.share_of.is_empty() {
            (self.show)(&Settings::default())
        } else {
            self.facts.share.to_string()
        }
    }

    /// What may be written: type, range, and an example in the spelling of the file or of the other two.
    pub(crate) fn expected(&self, in_file: bool) -> String {
        let range = match (self.range)() {
            Some([least, most]) => format!(" from {least} to {most}"),
            None => String::new(),
        };
        let own = (self.show)(&Settings::default());
        let example =
            if self.facts.share_of.is_empty() && !own.is_empty() { own } else { self.type_example.into() };
        let example = if in_file { (self.quote)(&example) } else { example };
        format!("{}{range}, such as {example}", self.what)
    }
}

/// Reads a value of a setting that has a range.
pub(crate) fn read_within<T: Value + PartialOrd>(
    raw: Raw<'_>,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, Mismatch> {
    let value = T::read(raw)?;
    if range.contains(&value) { Ok(value) } else { Err(Mismatch::Whole) }
}

/// The ends of a range, as text.
pub(crate) fn ends<T: Value>(range: std::ops::RangeInclusive<T>) -> Option<[String; 2]> {
    Some([range.start().show(), range.end().show()])
}

/// Declares the settings. Each field is
///
/// ```text
/// /// What it means.
/// name: Type { default: value, range: least..=most; unit: "...", zero: "...", cost: "..." }
/// ```
///
/// where the range and each of the [`Facts`] after the semicolon may be left out.
macro_rules! settings {
    (
        $(#[doc = $top_doc:literal])+
        $Top:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty {
                    default: $default:expr $(, range: $range:expr)?;
                    $($fact:ident: $text:expr),* $(,)?
                }
            )*
        }
        $(
            $(#[doc = $section_doc:literal])+
            $section:ident: $Section:ident {
                $(
                    $(#[doc = $in_doc:literal])+
                    $in_field:ident: $in_type:ty {
                        default: $in_default:expr $(, range: $in_range:expr)?;
                        $($in_fact:ident: $in_text:expr),* $(,)?
                    }
                )*
            }
        )*
    ) => {
        $(#[doc = $top_doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $Top {
            $(
                $(#[doc = $doc])+
                #[doc = concat!("\n\nDefault: `", stringify!($default), "`.")]
                pub $field: $type,
            )*
            $(
                $(#[doc = $section_doc])+
                pub $section: $Section,
            )*
        }

        impl Default for $Top {
            fn default() -> $Top {
                $Top { $($field: $default,)* $($section: $Section::default(),)* }
            }
        }

        $(
            $(#[doc = $section_doc])+
            #[derive(Clone, Debug, PartialEq)]
            pub struct $Section {
                $(
                    $(#[doc = $in_doc])+
                    #[doc = concat!("\n\nDefault: `", stringify!($in_default), "`.")]
                    pub $in_field: $in_type,
                )*
            }

            impl Default for $Section {
                fn default() -> $Section {
                    $Section { $($in_field: $in_default,)* }
                }
            }
        )*

        /// Every setting, in the order of the page and of the listing.
        pub static TABLE: &[Entry] = &[
            $(settings!(@entry
                "", $field, stringify!($field), [$($doc),+], $type, [$($range)?],
                Facts { $($fact: $text,)* ..Facts::NONE },
                [$field]
            ),)*
            $($(settings!(@entry
                stringify!($section), $in_field, concat!(stringify!($section), ".", stringify!($in_field)),
                [$($in_doc),+], $in_type, [$($in_range)?],
                Facts { $($in_fact: $in_text,)* ..Facts::NONE },
                [$section.$in_field]
            ),)*)*
        ];

        /// The sections of the file, each with what it is about.
        pub(crate) static SECTIONS: &[(&str, &str)] = &[
            $((stringify!($section), concat!($($section_doc),+)),)*
        ];
    };
    (@entry $section:expr, $name:ident, $key:expr, [$($doc:literal),+], $type:ty, [$($range:expr)?],
        $facts:expr, [$($place:tt)+]
    ) => {
        Entry {
            section: $section,
            name: stringify!($name),
            key: $key,
            doc: concat!($($doc),+),
            facts: $facts,
            what: <$type as Value>::WHAT,
            type_example: <$type as Value>::EXAMPLE,
            type_unit: <$type as Value>::UNIT,
            quote: <$type as Value>::quote,
            range: settings!(@range $type $(, $range)?),
            set: |settings, raw| {
                settings.$($place)+ = settings!(@read $type, raw $(, $range)?)?;
                Ok(())
            },
            show: |settings| Value::show(&settings.$($place)+),
            json: |settings| Value::json(&settings.$($place)+),
        }
    };
    (@range $type:ty) => { || None };
    (@range $type:ty, $range:expr) => { || ends::<$type>($range) };
    (@read $type:ty, $raw:expr) => { <$type as Value>::read($raw) };
    (@read $type:ty, $raw:expr, $range:expr) => { read_within::<$type>($raw, $range) };
}

pub(crate) use settings;
