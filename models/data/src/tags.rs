//! Lists of tags, for all products or by category, and yes/no labels.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde_json::Value;

use crate::error::ReadError;

/// The tags worth asking about a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    /// Every tag of every list, once.
    pub tags: Vec<String>,
    /// By which column the lists differ; all products are asked all tags where `None`.
    pub by: Option<ByColumn>,
}

/// Lists of tags by the value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByColumn {
    /// The column.
    pub column: String,
    /// Positions in [`Candidates::tags`] by value.
    lists: HashMap<String, Vec<usize>>,
    /// For values without a list, and for products without a value.
    default: Option<Vec<usize>>,
}

impl ByColumn {
    /// Tags of the longest list.
    pub fn longest(&self) -> usize {
        self.lists.values().chain(&self.default).map(Vec::len).max().unwrap_or(0)
    }

    /// Positions of the tags for a value; `None` where neither a list nor the default is there.
    pub fn positions(&self, value: &Value) -> Option<&[usize]> {
        let list = match value {
            Value::String(text) => self.lists.get(text.trim()),
            Value::Number(_) | Value::Bool(_) => self.lists.get(&value.to_string()),
            _ => None,
        };
        list.or(self.default.as_ref()).map(Vec::as_slice)
    }
}

/// The attribute that a tag is a value of: `Colour` of `Colour:Black`, and nothing of a tag without a colon.
pub fn attribute_of(tag: &str) -> &str {
    tag.split_once(':').map_or("", |(name, _)| name.trim())
}

/// Reads a list of tags. A `.txt` file has one tag a line; a `.json` file is an array of strings, or an object of
/// attribute names with arrays of values, `{"Colour": ["Black"]}`, which become `Colour:Black`.
/// Blank entries and repetitions are left out; the order is that of the file, for an object that of its sorted names.
///
/// # Errors
/// If the file cannot be read, is something else, or has no tag.
pub fn read_tags(path: impl AsRef<Path>) -> Result<Vec<String>, ReadError> {
    let path = path.as_ref();
    match read_candidates(path)? {
        Candidates { tags, by: None } => Ok(tags),
        Candidates { by: Some(by), .. } => {
            Err(ReadError::broken(path, format!("its tags depend on `{}`; one list is needed here", by.column)))
        }
    }
}

/// Reads the tags worth asking: a list as [`read_tags`] reads it, or in a `.json` file lists by the value of a column,
/// `{"by": "articleType", "tags": {"Shirts": [..]}, "default": [..]}`, each of them as such a list.
///
/// # Errors
/// As of [`read_tags`]; an empty list is one.
pub fn read_candidates(path: impl AsRef<Path>) -> Result<Candidates, ReadError> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(ReadError::io(path))?;
    let text = String::from_utf8(bytes).map_err(|_| ReadError::broken(path, "not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let broken = |reason: String| ReadError::broken(path, reason);
    if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        let tags = distinct(text.lines().map(str::to_owned).collect());
        return listed(tags).map_err(broken);
    }
    let value: Value = serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;
    match value.get("by") {
        Some(Value::String(_)) => {
            let file: ByFile = serde_json::from_value(value).map_err(|error| broken(error.to_string()))?;
            by_column(file).map_err(broken)
        }
        _ => from_json(&value).map(distinct).and_then(listed).map_err(broken),
    }
}

/// Lists of tags by the value of a column, as written.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ByFile {
    by: String,
    tags: BTreeMap<String, Value>,
    #[serde(default)]
    default: Option<Value>,
}

fn by_column(file: ByFile) -> Result<Candidates, String> {
    let mut tags: Vec<String> = Vec::new();
    let mut positions: HashMap<String, usize> = HashMap::new();
    let mut list = |name: &str, value: &Value| {
        let own = distinct(from_json(value).map_err(|reason| format!("{name}: {reason}"))?);
        if own.is_empty() {
            return Err(format!("{name} has no tags; leave it out or list some"));
        }
        let position = |tag: String| {
            *positions.entry(tag.clone()).or_insert_with(|| {
                tags.push(tag);
                tags.len() - 1
            })
        };
        Ok(own.into_iter().map(position).collect::<Vec<usize>>())
    };
    let mut lists = HashMap::new();
    for (value, given) in &file.tags {
        lists.insert(value.trim().to_owned(), list(&format!("`{value}`"), given)?);
    }
    let default = file.default.as_ref().map(|given| list("`default`", given)).transpose()?;
    if lists.is_empty() {
        return Err("`tags` is empty; give a list for each value of the column".to_owned());
    }
    Ok(Candidates { tags, by: Some(ByColumn { column: file.by, lists, default }) })
}

fn listed(tags: Vec<String>) -> Result<Candidates, String> {
    if tags.is_empty() {
        return Err("no tags in it; write one a line, such as `Colour:Black`".to_owned());
    }
    Ok(Candidates { tags, by: None })
}

/// Trimmed, without blank ones and repetitions.
fn distinct(given: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    let trimmed = given.iter().map(|tag| tag.trim().to_owned());
    trimmed.filter(|tag| !tag.is_empty() && seen.insert(tag.clone())).collect()
}

fn from_json(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || "expected an array of tags or an object of names with arrays of values".to_owned();
    let strings = |value: &Value| -> Result<Vec<String>, String> {
        let items = value.as_array().ok_or_else(wrong)?;
        items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
    };
    let Value::Object(attributes) = value else { return strings(value) };
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
    fn lists_differ_by_the_value_of_a_column() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.json");
        let read = |content: &str| {
            std::fs::write(&path, content).unwrap();
            read_candidates(&path).map_err(|error| error.to_string())
        };
        let candidates = read(
            r#"{"by": "kind", "tags": {"Shirts": ["Colour:Black", "Fit:Slim"], "7": {"Colour": ["Red", "Black"]}},
                "default": ["Colour:Red"]}"#,
        )
        .unwrap();
        assert_eq!(candidates.tags, ["Colour:Red", "Colour:Black", "Fit:Slim"], "in the order of the sorted values");
        let by = candidates.by.unwrap();
        assert_eq!(by.column, "kind");
        assert_eq!(by.positions(&Value::from(" Shirts ")), Some(&[1, 2][..]));
        assert_eq!(by.positions(&Value::from(7)), Some(&[0, 1][..]));
        assert_eq!(by.positions(&Value::from("Shoes")), Some(&[0][..]));
        assert_eq!(by.positions(&Value::Null), Some(&[0][..]));
        let strict = read(r#"{"by": "kind", "tags": {"Shirts": ["a"]}}"#).unwrap().by.unwrap();
        assert_eq!((strict.positions(&Value::from("Shoes")), strict.positions(&Value::Null)), (None, None));
        for (content, message) in [
            (r#"{"by": "kind", "tags": {"Shirts": []}}"#, "`Shirts` has no tags"),
            (r#"{"by": "kind", "tags": {"Shirts": "a"}}"#, "`Shirts`: expected an array"),
            (r#"{"by": "kind", "tags": {}}"#, "`tags` is empty"),
            (r#"{"by": "kind", "tags": {"a": ["b"]}, "defaults": []}"#, "unknown field `defaults`"),
            (r#"{"by": "kind"}"#, "missing field `tags`"),
        ] {
            let error = read(content).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
        assert_eq!(
            read(r#"{"by": ["me", "you"]}"#).unwrap().tags,
            ["by:me", "by:you"],
            "an attribute may have this name"
        );
        std::fs::write(&path, r#"{"by": "kind", "tags": {"Shirts": ["a"]}}"#).unwrap();
        assert!(
            read_tags(&path).unwrap_err().to_string().ends_with("its tags depend on `kind`; one list is needed here")
        );
        assert_eq!(
            (attribute_of("Colour:Black"), attribute_of("领型:半高领"), attribute_of("red")),
            ("Colour", "领型", "")
        );
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
