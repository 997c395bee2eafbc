//! The settings as a list: what `plimsoll config` shows, for people and for programs.

use serde_json::{Value as Json, json};

use crate::plan::Plan;
use crate::settings::declare::Entry;
use crate::settings::error::Origin;
use crate::settings::layers::Loaded;
use crate::settings::table::{Settings, TABLE};

/// One setting with its value.
pub struct Row {
    /// The setting.
    pub entry: &'static Entry,
    /// Its value, as people write it: `64MiB`.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
    json: Json,
}

impl Loaded {
    /// Every setting in the order of the table; with a plan, shares stand there as the sizes they came to.
    pub fn rows(&self, plan: Option<&Plan>) -> Vec<Row> {
        let settings = plan.map_or_else(|| self.settings.clone(), |plan| plan.applied_to(&self.settings));
        let rows = TABLE.iter().zip(self.origins()).map(|(entry, origin)| Row {
            entry,
            value: shown((entry.show)(&settings)),
            origin: origin.clone(),
            json: (entry.json)(&settings),
        });
        rows.collect()
    }
}

impl Row {
    /// The row for a program. Sizes are numbers of bytes and times are milliseconds, as the unit says.
    pub fn json(&self) -> Json {
        let entry = self.entry;
        // A share has no default that could be said without knowing the rest.
        let default = (entry.json)(&Settings::default());
        json!({
            "key": entry.key(),
            "value": self.json,
            "unit": match entry.unit() { "" => Json::Null, "time" => json!("ms"), unit => json!(unit) },
            "origin": self.origin.to_string(),
            "default": default,
            "env": entry.env(),
            "flag": entry.flag().map(|flag| format!("--{flag}")),
            "doc": entry.doc(),
        })
    }
}

/// An empty list is written as a word, so that no column stands empty.
pub(crate) fn shown(value: String) -> String {
    if value.is_empty() { "none".into() } else { value }
}
