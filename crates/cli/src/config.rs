//! `plimsoll config`: every setting, its value, its unit, and where the value came from.
//!
//! "Which limit is this process really under?" is asked at night, about a container that somebody else
//! configured in three places. This verb answers it with the same code that `serve` starts with.

use clap::{Arg, ArgAction, ArgMatches, Command};
use plimsoll_gateway::plan::Plan;
use plimsoll_gateway::settings::{Origin, Row, markdown};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::{Verb, flags, logs, out};

/// The name and the version of the report that `--json` prints.
const SCHEMA: &str = "plimsoll.config/1";

/// A value that is longer than this does not push the column of origins out of sight; in characters.
const VALUE_WIDTH_MAX: usize = 24;

/// The verb.
pub(crate) const VERB: Verb = Verb { name: "config", command, run };

fn command(command: Command) -> Command {
    let switch = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let command = command
        .about("Show every setting, its unit, and where its value came from")
        .long_about(
            "Show every setting, its unit, and where its value came from.\n\n\
             A share of another setting is shown as the size it comes to. When the limits do not fit into \
             memory_limit, shares are shown as unset, the sum is told on standard error, and the code is 64, \
             as `serve` would end.",
        )
        .arg(switch("json").help("As JSON, sizes in bytes and times in milliseconds"))
        .arg(
            switch("markdown")
                .help("The page docs/limits.md: every setting with its range and its memory cost")
                .conflicts_with("json"),
        );
    flags::with_settings(command)
}

fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    if matches.get_flag("markdown") {
        out::print(&markdown())?;
        return Ok(Exit::Fine);
    }
    let loaded = flags::load(matches)?;
    logs::start(&loaded.settings);
    let plan = Plan::new(&loaded.settings);
    let rows = loaded.rows(plan.as_ref().ok());
    let given = rows.iter().filter(|row| !matches!(row.origin, Origin::Default | Origin::Share(_))).count();
    tracing::debug!(known = rows.len(), given, "settings loaded");
    out::print(&if matches.get_flag("json") { as_json(&rows) } else { as_text(&rows) })?;
    plan?;
    Ok(Exit::Fine)
}

fn as_json(rows: &[Row]) -> String {
    let settings: Vec<_> = rows.iter().map(Row::json).collect();
    format!("{:#}\n", json!({ "schema": SCHEMA, "settings": settings }))
}

fn as_text(rows: &[Row]) -> String {
    let width =
        |column: fn(&Row) -> &str| rows.iter().map(|row| column(row).chars().count()).max().unwrap_or(0);
    let key = width(|row| row.entry.key());
    let value = width(|row| &row.value).min(VALUE_WIDTH_MAX);
    let unit = width(|row| row.entry.unit());
    let mut text = String::new();
    for row in rows {
        let (name, units) = (row.entry.key(), row.entry.unit());
        text += &format!("{name:key$}  {:value$}  {units:unit$}  {}\n", row.value, row.origin);
    }
    text
}
