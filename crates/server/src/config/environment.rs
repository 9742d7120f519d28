//! Overrides from the environment: `HAVERSACK_<SECTION>__<KEY>`, deeper tables by further double underscores.
//! A value is read as TOML when that fits and as plain text otherwise. Only `config` calls it; a variable of
//! that shape that names no key is an error.

use std::ffi::OsString;

use serde::Deserialize;

use super::{Config, ConfigError};

const PREFIX: &str = "HAVERSACK_";

/// One variable that overrides a key.
pub(super) struct Override {
    variable: String,
    path: Vec<String>,
    raw: String,
}

/// Picks the overrides out of an environment, sorted by name, so that the outcome does not depend on its
/// order.
pub(super) fn overrides(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<Override>, ConfigError> {
    let mut found = Vec::new();
    for (variable, raw) in environment {
        let Some(variable) = variable.to_str() else { continue };
        let Some(path) = variable.strip_prefix(PREFIX).filter(|path| path.contains("__")) else { continue };
        let variable = variable.to_owned();
        let Ok(raw) = raw.into_string() else {
            return Err(ConfigError::Variable { variable, message: "the value is not UTF-8".into() });
        };
        found.push(Override { path: path.split("__").map(str::to_ascii_lowercase).collect(), variable, raw });
    }
    found.sort_by(|a, b| a.variable.cmp(&b.variable));
    Ok(found)
}

/// Applies the overrides to the table of the file, one by one, so that the first bad one is named.
pub(super) fn apply(mut table: toml::Table, overrides: &[Override]) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    for one in overrides {
        (table, config) = apply_one(&table, one)?;
    }
    Ok(config)
}

fn apply_one(table: &toml::Table, one: &Override) -> Result<(toml::Table, Config), ConfigError> {
    let refused = |message: String| ConfigError::Variable { variable: one.variable.clone(), message };
    let text = toml::Value::String(one.raw.clone());
    let parsed = toml::from_str::<toml::Table>(&format!("value = {}", one.raw))
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"));
    // A number in quotes is what a text key wants, so text is tried when the TOML reading does not fit.
    let mut first = None;
    for value in parsed.into_iter().chain([text]) {
        let mut candidate = table.clone();
        insert(&mut candidate, &one.path, value).map_err(refused)?;
        match Config::deserialize(candidate.clone()) {
            Ok(config) => return Ok((candidate, config)),
            Err(error) => first = first.or(Some(error.message().replace('\n', "; "))),
        }
    }
    Err(refused(first.unwrap_or_default()))
}

fn insert(table: &mut toml::Table, path: &[String], value: toml::Value) -> Result<(), String> {
    let Some((key, parents)) = path.split_last() else { return Err("names no key".into()) };
    let mut at = table;
    for part in parents {
        let next = at.entry(part.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        at = next.as_table_mut().ok_or_else(|| format!("`{part}` is not a table"))?;
    }
    at.insert(key.clone(), value);
    Ok(())
}
