//! Lists of tags, and yes/no labels.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;

use crate::error::ReadError;

/// Reads a list of tags. A `.txt` file has one tag a line; a `.json` file is an array of strings, or an object of
/// attribute names with arrays of values, `{"Colour": ["Black"]}`, which become `Colour:Black`.
/// Blank entries and repetitions are left out; the order is that of the file, for an object that of its sorted names.
///
/// # Errors
/// If the file cannot be read, is something else, or has no tag.
pub fn read_tags(path: impl AsRef<Path>) -> Result<Vec<String>, ReadError> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(ReadError::io(path))?;
    let text = String::from_utf8(bytes).map_err(|_| ReadError::broken(path, "not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let given = if is_json { from_json(path, text)? } else { text.lines().map(str::to_owned).collect() };
    let mut seen = HashSet::new();
    let tags: Vec<String> = given
        .iter()
        .map(|tag| tag.trim().to_owned())
        .filter(|tag| !tag.is_empty() && seen.insert(tag.clone()))
        .collect();
    if tags.is_empty() {
        return Err(ReadError::broken(path, "no tags in it; write one a line, such as `Colour:Black`"));
    }
    Ok(tags)
}

fn from_json(path: &Path, text: &str) -> Result<Vec<String>, ReadError> {
    let wrong = || ReadError::broken(path, "expected an array of tags or an object of names with arrays of values");
    let strings = |value: &Value| -> Result<Vec<String>, ReadError> {
        let items = value.as_array().ok_or_else(wrong)?;
        items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
    };
    let value: Value = serde_json::from_str(text).map_err(|error| ReadError::broken(path, error.to_string()))?;
    let Value::Object(attributes) = &value else { return strings(&value) };
    let mut tags = Vec::new();
    for (name, values) in attributes {
        tags.extend(strings(values)?.into_iter().map(|value| format!("{name}:{value}")));
    }
    Ok(tags)
}

/// A yes/no label: a boolean, 0 or 1, or one of these as text. `None` for anything else.
pub fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(yes) => Some(*yes),
        Value::Number(number) => match number.as_f64() {
            Some(1.0) => Some(true),
            Some(0.0) => Some(false),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, content: impl AsRef<[u8]>) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        read_tags(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn blank_and_repeated_tags_are_left_out() {
        let wanted = Ok(vec!["Colour:Black".to_owned(), "领型:半高领".to_owned()]);
        assert_eq!(read("t.txt", "\u{feff}Colour:Black\r\n\n 领型:半高领 \nColour:Black\n"), wanted);
        assert_eq!(read("t.json", "[\"Colour:Black\", \"\", \"领型:半高领\"]"), wanted);
        assert_eq!(read("t.json", "{\"领型\": [\"半高领\"], \"Colour\": [\"Black\", \"Black\"]}"), wanted);
    }

    #[test]
    fn what_is_no_tag_list_is_an_error() {
        for (name, content) in
            [("t.txt", "\n \n"), ("t.json", "3"), ("t.json", "{\"a\": \"b\"}"), ("t.json", "[1]"), ("t.json", "[")]
        {
            assert!(read(name, content).is_err(), "{name} {content}");
        }
        assert!(read("t.txt", b"\xff").unwrap_err().ends_with("not UTF-8"));
    }

    #[test]
    fn labels_are_read_from_any_notation() {
        use serde_json::json;
        for yes in [json!(1), json!(true), json!("1"), json!("True"), json!(1.0)] {
            assert_eq!(truth(&yes), Some(true), "{yes}");
        }
        for no in [json!(0), json!(false), json!("0"), json!("false")] {
            assert_eq!(truth(&no), Some(false), "{no}");
        }
        for neither in [json!(null), json!(2), json!("yes?"), json!([])] {
            assert_eq!(truth(&neither), None, "{neither}");
        }
    }
}
