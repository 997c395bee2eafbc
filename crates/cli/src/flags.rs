//! The flags of the settings, made from their table, and the answers to a command line that is wrong.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::OsStringValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use plimsoll_gateway::settings::{Entry, Given, Loaded, SettingsError, TABLE, load as load_settings};
use plimsoll_verdict::judge::Known;

use crate::exit::{Exit, Failure};
use crate::{known, out};

const CONFIG: &str = "config";

/// Adds `--config` and one flag for each setting. `-h` shows those at the top of the file only.
pub(crate) fn with_settings(command: Command) -> Command {
    let config = Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Settings file (TOML) [env: PLIMSOLL_CONFIG]");
    command.arg(config).args(TABLE.iter().filter_map(flag))
}

/// Loads the settings from the flags in `matches`, the environment, and the file if one is named.
pub(crate) fn load(matches: &ArgMatches) -> Result<Loaded, SettingsError> {
    load_settings(&given(matches))
}

/// What the settings file says beforehand of what leaks; nothing without a file.
pub(crate) fn known(matches: &ArgMatches) -> Result<Known, Failure> {
    match given(matches).file() {
        Some((path, _)) => known::load(Some(path)),
        None => Ok(Known::default()),
    }
}

fn given(matches: &ArgMatches) -> Given {
    let flag = |entry: &Entry| {
        entry.flag()?;
        let value = matches.get_one::<OsString>(entry.key())?;
        Some((entry.key().to_string(), value.clone()))
    };
    Given {
        flags: TABLE.iter().filter_map(flag).collect(),
        environment: std::env::vars_os().collect(),
        config: matches.get_one::<PathBuf>(CONFIG).cloned(),
    }
}

/// The flag of a setting; what stands behind it is read by the settings, which know all three ways.
fn flag(entry: &'static Entry) -> Option<Arg> {
    let (name, env) = (entry.flag()?, entry.env()?);
    let what = match entry.unit() {
        "bytes" => "SIZE",
        "time" => "TIME",
        _ => "VALUE",
    };
    let default = match entry.default_text() {
        default if default.is_empty() => "none".into(),
        default => default,
    };
    let heading = match entry.section() {
        "" => "Settings".to_string(),
        section => format!("Settings [{section}]"),
    };
    let arg = Arg::new(entry.key())
        .long(name)
        .value_name(what)
        .value_parser(OsStringValueParser::new())
        .action(ArgAction::Set)
        .allow_negative_numbers(true)
        .help(format!("{} [default: {default}] [env: {env}]", entry.doc()))
        .help_heading(heading)
        .hide_short_help(!entry.section().is_empty());
    Some(arg)
}

/// What to do about a command line that could not be read: help and version are data and fine, the rest
/// is one line and the code for wrong usage.
pub(crate) fn answer(error: &clap::Error) -> Result<Exit, Failure> {
    let text = error.render().to_string();
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let unknown = |what: &str, name: Option<String>, nearest: Option<String>| {
        let name = name.unwrap_or_default();
        let nearest = nearest.map(|nearest| format!(" did you mean `{nearest}`?")).unwrap_or_default();
        Err(Failure::usage(format!("unknown {what} `{name}`;{nearest} add --help to see what there is")))
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => out::print(&text).map(|()| Exit::Fine),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            out::talk_at_length(&text);
            Ok(Exit::Usage)
        }
        ErrorKind::UnknownArgument => {
            unknown("argument", context(ContextKind::InvalidArg), context(ContextKind::SuggestedArg))
        }
        ErrorKind::InvalidSubcommand => unknown(
            "verb",
            context(ContextKind::InvalidSubcommand),
            context(ContextKind::SuggestedSubcommand),
        ),
        // The parser's first paragraph says what is wrong, the others how to ask for help.
        _ => {
            let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
            let line = first.split_whitespace().collect::<Vec<_>>().join(" ");
            Err(Failure::usage(format!("{line}; add --help to see what there is")))
        }
    }
}
