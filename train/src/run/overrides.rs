//! Changes to a run file from the command line and the environment.

use toml::{Table, Value};

use crate::TrainError;

/// Applies one `table.key=value`. The value is TOML; what is not is taken as a string.
pub(super) fn set(table: &mut Table, change: &str) -> Result<(), TrainError> {
    let wrong = |reason: &str| TrainError::run(format!("--set {change}"), reason);
    let (path, value) =
        change.split_once('=').ok_or_else(|| wrong("expected key=value, such as optimizer.learning_rate=3e-4"))?;
    let value = parse(value.trim());
    let keys: Vec<&str> = path.trim().split('.').collect();
    if keys.iter().any(|key| key.is_empty()) {
        return Err(wrong("a key is empty"));
    }
    let (last, tables) = keys.split_last().ok_or_else(|| wrong("a key is empty"))?;
    let mut table = table;
    for key in tables {
        let entry = table.entry(*key).or_insert_with(|| Value::Table(Table::new()));
        table = entry.as_table_mut().ok_or_else(|| wrong(&format!("`{key}` is no table")))?;
    }
    table.insert((*last).to_owned(), value);
    Ok(())
}

fn parse(text: &str) -> Value {
    format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Replaces `${NAME}` in every string by the environment variable.
pub(super) fn expand_environment(table: &mut Table) -> Result<(), TrainError> {
    for (key, value) in table.iter_mut() {
        expand(key, value)?;
    }
    Ok(())
}

fn expand(key: &str, value: &mut Value) -> Result<(), TrainError> {
    match value {
        Value::String(text) => *text = expanded(key, text)?,
        Value::Array(values) => values.iter_mut().try_for_each(|value| expand(key, value))?,
        Value::Table(table) => {
            for (inner, value) in table.iter_mut() {
                expand(&format!("{key}.{inner}"), value)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn expanded(key: &str, text: &str) -> Result<String, TrainError> {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = rest.split_at(start);
        let end = after.find('}').ok_or_else(|| TrainError::run(key, format!("`{text}` has `${{` without `}}`")))?;
        let name = &after[2..end];
        let value = std::env::var(name).map_err(|_| {
            TrainError::run(key, format!("the environment variable {name} is not set: set it, or use --set {key}=..."))
        })?;
        result.push_str(before);
        result.push_str(&value);
        rest = &after[end + 1..];
    }
    result.push_str(rest);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_toml_or_else_text() {
        let mut table: Table = "[a]\nb = 1".parse().unwrap();
        for change in ["a.b=2.5e-4", "a.c = [1, 2]", "d=runs/x-1", "e.f.g=true", "h=\"3\""] {
            set(&mut table, change).unwrap();
        }
        let expected: Table = "d = 'runs/x-1'\nh = '3'\n[a]\nb = 2.5e-4\nc = [1, 2]\n[e.f]\ng = true".parse().unwrap();
        assert_eq!(table, expected);
        for wrong in ["a", "a.=1", "a.b.c=1"] {
            assert!(set(&mut table, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unset_variable_is_named() {
        let mut table: Table = "[data]\ntrain = '${MBSD_NO_SUCH_VARIABLE}/x'".parse().unwrap();
        let error = expand_environment(&mut table).unwrap_err().to_string();
        assert!(error.contains("data.train") && error.contains("MBSD_NO_SUCH_VARIABLE is not set"), "{error}");
        assert_eq!(expanded("k", "a$b}").unwrap(), "a$b}");
    }
}
