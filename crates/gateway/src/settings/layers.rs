//! The four layers of settings, merged: the flag wins, then the environment, then the file, then the
//! default; and each value keeps its origin.
//!
//! A wrong value is an error also where a stronger layer covers it: the day the flag is taken away is
//! the wrong day to learn that the file was never right.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::settings::environment::{CONFIG, Variable, variable};
use crate::settings::error::{Mismatch, Origin, SettingsError};
use crate::settings::file::{self, Source};
use crate::settings::table::{Settings, TABLE};
use crate::settings::value::{Raw, quoted};

/// What was given to the program: the input of [`load`].
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The flags that set something, each by the key of its setting, with its value.
    pub flags: Vec<(String, OsString)>,
    /// The environment, whole: what is not ours is passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// The file that `--config` names. Without it `PLIMSOLL_CONFIG` may name one; no file is read unasked.
    pub config: Option<PathBuf>,
}

/// The settings with the origin of each.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub settings: Settings,
    /// Where each came from, in the order of the table.
    origins: Vec<Origin>,
}

/// Merges what was given over the defaults.
pub fn load(given: &Given) -> Result<Loaded, SettingsError> {
    let mut loaded = Loaded::default();
    if let Some((path, named_by)) = given.file() {
        loaded.take_file(path, named_by)?;
    }
    loaded.take_environment(&given.environment)?;
    loaded.take_flags(&given.flags)?;
    loaded.check_together()?;
    Ok(loaded)
}

impl Given {
    /// The settings file, if one is named, and by what.
    pub fn file(&self) -> Option<(&Path, &'static str)> {
        if let Some(path) = &self.config {
            return Some((path, "--config"));
        }
        let (_, path) = self.environment.iter().find(|(name, _)| name == CONFIG)?;
        Some((Path::new(path), CONFIG))
    }
}

impl Default for Loaded {
    /// The defaults, with nothing set anywhere.
    fn default() -> Loaded {
        let origin = |share_of: &'static str| {
            if share_of.is_empty() { Origin::Default } else { Origin::Share(share_of) }
        };
        let origins = TABLE.iter().map(|entry| origin(entry.facts.share_of)).collect();
        Loaded { settings: Settings::default(), origins }
    }
}

impl Loaded {
    /// Where the setting with this key was set; the default for a key that is not known.
    pub fn origin(&self, key: &str) -> Origin {
        TABLE
            .iter()
            .zip(&self.origins)
            .find(|(entry, _)| entry.key() == key)
            .map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// The origins, in the order of the table.
    pub(crate) fn origins(&self) -> &[Origin] {
        &self.origins
    }

    fn take_file(&mut self, path: &Path, named_by: &'static str) -> Result<(), SettingsError> {
        let path: Arc<Path> = Arc::from(path);
        let text =
            file::read(&path).map_err(|why| SettingsError::File { path: path.clone(), named_by, why })?;
        let source = Source { path: &path, text: &text };
        let document = source.parse()?;
        for found in source.settings(document.get_ref())? {
            self.put(found.index, Raw::Toml(found.value), found.origin, Some(&source))?;
        }
        Ok(())
    }

    fn take_environment(&mut self, environment: &[(OsString, OsString)]) -> Result<(), SettingsError> {
        // The environment has no order of its own; with one, the same mistakes give the same first error.
        let mut environment: Vec<_> = environment.iter().collect();
        environment.sort();
        for (name, value) in environment {
            match variable(name, value) {
                Variable::Foreign => {}
                Variable::Setting(index) => {
                    let origin = Origin::Environment(name.to_string_lossy().into_owned());
                    self.put_text(index, value, origin)?;
                }
                Variable::Unknown { nearest } => {
                    let name = name.to_string_lossy().into_owned();
                    let origin = Origin::Environment(name.clone());
                    return Err(SettingsError::Unknown { name, origin, nearest });
                }
            }
        }
        Ok(())
    }

    fn take_flags(&mut self, flags: &[(String, OsString)]) -> Result<(), SettingsError> {
        for (key, value) in flags {
            let index = TABLE.iter().position(|entry| entry.key() == key);
            let flag = index.and_then(|index| TABLE[index].flag());
            let (Some(index), Some(flag)) = (index, flag) else {
                let origin = Origin::Flag(key.clone());
                return Err(SettingsError::Unknown { name: key.clone(), origin, nearest: None });
            };
            self.put_text(index, value, Origin::Flag(flag))?;
        }
        Ok(())
    }

    fn put_text(&mut self, index: usize, value: &OsStr, origin: Origin) -> Result<(), SettingsError> {
        match value.to_str() {
            Some(text) => self.put(index, Raw::Text(text), origin, None),
            None => Err(SettingsError::Wrong {
                key: TABLE[index].key().into(),
                origin,
                found: format!("{}, which is not UTF-8", quoted(&value.to_string_lossy())),
                expected: TABLE[index].expected(false),
            }),
        }
    }

    fn put(
        &mut self,
        index: usize,
        raw: Raw<'_>,
        origin: Origin,
        source: Option<&Source<'_>>,
    ) -> Result<(), SettingsError> {
        let entry = &TABLE[index];
        let place = |offset| source.map_or_else(|| origin.clone(), |source| source.origin(offset));
        (entry.set)(&mut self.settings, raw).map_err(|mismatch| match mismatch {
            Mismatch::Whole => SettingsError::Wrong {
                key: entry.key().into(),
                origin: origin.clone(),
                found: raw.found(),
                expected: entry.expected(source.is_some()),
            },
            Mismatch::Part { key, offset, found, expected } => {
                SettingsError::Wrong { key, origin: place(offset), found, expected }
            }
            Mismatch::UnknownPart { key, offset, nearest } => {
                SettingsError::Unknown { name: key, origin: place(offset), nearest }
            }
        })?;
        self.origins[index] = origin;
        Ok(())
    }

    /// Values that are right one by one and wrong together. Sizes that do not fit the memory are the
    /// plan's to refuse: it knows the sum.
    fn check_together(&self) -> Result<(), SettingsError> {
        let monitor = &self.settings.monitor;
        if monitor.warning_percent < monitor.critical_percent {
            return Ok(());
        }
        let side = |key: &str, value: u8| format!("`{key}` = {value} ({})", self.origin(key));
        Err(SettingsError::Together {
            one: side("monitor.warning_percent", monitor.warning_percent),
            other: side("monitor.critical_percent", monitor.critical_percent),
            rule: "the warning must come before it is critical; lower the first or raise the second, \
                   such as 80 and 95",
        })
    }
}
