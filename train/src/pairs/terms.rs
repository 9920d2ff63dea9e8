//! Typed terms: what a query is made of, and what a term can be exchanged for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mbsd_data::{FieldOptions, Fields};
use serde_json::Value;

use super::PairsError;
use super::rows::RowCount;
use super::words::normalized;

/// Terms by type, and which of them mean the same. As JSON `{"colour": ["black", ["grey", "gray"]]}`: terms in a
/// list of their own mean the same, and none of them is exchanged for another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// From a type and a term to the term that stands for all of its meaning.
    types: BTreeMap<String, BTreeMap<String, String>>,
}

/// Where typed terms come from.
#[derive(Debug, Clone, Default)]
pub struct TermSources {
    /// Dictionaries as [`Terms::to_json`] writes them.
    pub files: Vec<PathBuf>,
    /// Annotated titles: a column `entities` with lists of `{type, text}`.
    pub titles: Vec<PathBuf>,
    /// How often annotated titles must have a term.
    pub min_count: u64,
    /// Attribute columns of the products: the column is the type, its values are the terms.
    pub columns: Vec<String>,
    /// The only types to use; all where empty.
    pub types: Vec<String>,
    /// Where to save the dictionary that results.
    pub save: Option<PathBuf>,
}

impl TermSources {
    /// Whether there is any source.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.titles.is_empty() && self.columns.is_empty()
    }
}

impl Terms {
    /// Adds terms of one meaning. A term that is known already keeps its meaning.
    pub fn add(&mut self, ty: &str, meaning: &[String]) {
        let terms: Vec<String> = meaning.iter().map(|term| normalized(term)).filter(|term| !term.is_empty()).collect();
        let Some(first) = terms.first().cloned() else { return };
        let known = self.types.entry(ty.to_owned()).or_default();
        for term in terms {
            known.entry(term).or_insert_with(|| first.clone());
        }
    }

    /// Reads a dictionary.
    ///
    /// # Errors
    /// If it cannot be read or has another form.
    pub fn read(path: &Path) -> Result<Self, PairsError> {
        let text = std::fs::read_to_string(path).map_err(|error| PairsError::json(path, error.to_string()))?;
        let wrong = |what: &str| {
            PairsError::json(path, format!(r#"expected {{"type": ["term", ["same", "meaning"]]}}: {what}"#))
        };
        let value: Value = serde_json::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
        let mut terms = Self::default();
        for (ty, items) in value.as_object().ok_or_else(|| wrong("it is not an object"))? {
            for item in items.as_array().ok_or_else(|| wrong(&format!("`{ty}` is not a list")))? {
                let meaning: Option<Vec<String>> = match item {
                    Value::String(term) => Some(vec![term.clone()]),
                    Value::Array(same) => same.iter().map(|term| term.as_str().map(str::to_owned)).collect(),
                    _ => None,
                };
                let meaning = meaning.ok_or_else(|| wrong(&format!("`{ty}` holds {item}")))?;
                terms.add(ty, &meaning);
            }
        }
        Ok(terms)
    }

    /// The dictionary as JSON, in the order of its types and terms.
    pub fn to_json(&self) -> String {
        let item = |same: Vec<String>| if same.len() == 1 { same[0].clone().into() } else { same.into() };
        let list = |terms| meanings(terms).into_iter().map(item).collect();
        let types: BTreeMap<&str, Vec<Value>> =
            self.types.iter().map(|(ty, terms)| (ty.as_str(), list(terms))).collect();
        format!("{:#}\n", serde_json::json!(types))
    }

    /// Adds the terms that annotated titles name often enough. Single characters are left out: cut out of a query
    /// they are rarely a word.
    ///
    /// # Errors
    /// If the file cannot be read or has no annotations.
    pub(super) fn add_titles(&mut self, path: &Path, least: u64, count: &mut RowCount) -> Result<(), PairsError> {
        let options = FieldOptions { required: vec!["entities".to_owned()], ..FieldOptions::default() };
        let mut found: BTreeMap<(String, String), u64> = BTreeMap::new();
        for row in Fields::open(path, &options)? {
            count.rows += 1;
            let row = match row {
                Ok(row) => row,
                Err(bad) => {
                    count.unreadable("titles", bad, path)?;
                    continue;
                }
            };
            let entities = match &row.values[0] {
                Value::Array(entities) => entities.as_slice(),
                Value::Null => &[],
                _ => {
                    count.bad(format_args!("titles row {}: wrong_type: `entities` is not a list", row.row));
                    continue;
                }
            };
            for entity in entities {
                let [ty, text] = ["type", "text"].map(|key| entity.get(key).and_then(Value::as_str));
                let (Some(ty), Some(text)) = (ty, text) else {
                    count.bad(format_args!("titles row {}: wrong_type: an entity lacks `type` or `text`", row.row));
                    break;
                };
                let text = normalized(text);
                if text.chars().count() > 1 {
                    *found.entry((ty.to_owned(), text)).or_default() += 1;
                }
            }
        }
        for ((ty, term), times) in found {
            if times >= least {
                self.add(&ty, &[term]);
            }
        }
        Ok(())
    }

    /// Adds all terms of another dictionary.
    pub fn merge(&mut self, other: &Self) {
        for (ty, terms) in &other.types {
            for same in meanings(terms) {
                self.add(ty, &same);
            }
        }
    }

    /// Leaves only these types.
    ///
    /// # Errors
    /// If a type is not there.
    pub fn keep(&mut self, types: &[String]) -> Result<(), PairsError> {
        if let Some(missing) = types.iter().find(|ty| !self.types.contains_key(*ty)) {
            let present: Vec<&str> = self.types.keys().map(String::as_str).collect();
            return Err(PairsError::Setting(format!(
                "--term-types {missing}: the dictionary has the types {}",
                present.join(", ")
            )));
        }
        if !types.is_empty() {
            self.types.retain(|ty, _| types.contains(ty));
        }
        Ok(())
    }

    /// The number of terms of each type.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.types.iter().map(|(ty, terms)| (ty.clone(), terms.len())).collect()
    }

    /// Types with their terms and what stands for their meaning, all in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, String>)> {
        self.types.iter().map(|(ty, terms)| (ty.as_str(), terms))
    }
}

/// The terms of each meaning, in order.
fn meanings(terms: &BTreeMap<String, String>) -> Vec<Vec<String>> {
    let mut meanings: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (term, meaning) in terms {
        meanings.entry(meaning).or_default().push(term.clone());
    }
    meanings.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    #[test]
    fn a_dictionary_survives_saving() {
        let (_folder, path) = file("t.json", r#"{"colour": ["Black", ["grey", "Gray"], ""], "领型": ["圆领"]}"#);
        let terms = Terms::read(&path).unwrap();
        assert_eq!(terms.counts(), BTreeMap::from([("colour".to_owned(), 3), ("领型".to_owned(), 1)]));
        let json = terms.to_json();
        assert_eq!(
            serde_json::from_str::<Value>(&json).unwrap(),
            serde_json::json!({"colour": ["black", ["gray", "grey"]], "领型": ["圆领"]})
        );
        std::fs::write(&path, &json).unwrap();
        assert_eq!(Terms::read(&path).unwrap().to_json(), json);
    }

    #[test]
    fn what_is_no_dictionary_says_so() {
        for (content, what) in [
            ("[]", "it is not an object"),
            (r#"{"colour": "red"}"#, "`colour` is not a list"),
            (r#"{"colour": [1]}"#, "`colour` holds 1"),
            ("{", "EOF"),
        ] {
            let (_folder, path) = file("t.json", content);
            let error = Terms::read(&path).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("t.json: expected {\"type\""), "{error}");
        }
    }

    #[test]
    fn annotated_titles_give_frequent_terms_of_two_characters() {
        let lines = r#"{"title": "耐克 跑鞋", "entities": [{"type": "HPPX", "text": "耐克"}, {"type": "HCCX", "text": "跑鞋"}]}
{"title": "Nike 跑鞋 木", "entities": [{"type": "HCCX", "text": "跑鞋"}, {"type": "HCCX", "text": "木"}, {"type": "HCCX", "text": "木"}]}
{"title": "x", "entities": []}
{"title": "x", "entities": [{"type": "HCCX"}]}
{"title": "x", "entities": "跑鞋"}
"#;
        let (_folder, path) = file("t.jsonl", lines);
        let (mut terms, mut count) = (Terms::default(), RowCount::default());
        terms.add_titles(&path, 2, &mut count).unwrap();
        assert_eq!(terms.to_json(), "{\n  \"HCCX\": [\n    \"跑鞋\"\n  ]\n}\n");
        assert_eq!((count.rows, count.bad), (5, 2));
        let mut all = Terms::default();
        all.add_titles(&path, 1, &mut count).unwrap();
        assert_eq!(all.counts(), BTreeMap::from([("HCCX".to_owned(), 1), ("HPPX".to_owned(), 1)]));
    }

    #[test]
    fn merged_terms_keep_their_first_meaning() {
        let mut terms = Terms::default();
        terms.add("brand", &["nike".to_owned(), "耐克".to_owned()]);
        let mut other = Terms::default();
        other.add("brand", &["耐克".to_owned()]);
        other.add("brand", &["puma".to_owned()]);
        other.add("size", &["xl".to_owned()]);
        terms.merge(&other);
        assert!(terms.to_json().contains("\"nike\",\n      \"耐克\""), "{}", terms.to_json());
        assert_eq!(terms.counts()["brand"], 3);
        let error = terms.keep(&["colour".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "--term-types colour: the dictionary has the types brand, size");
        terms.keep(&["size".to_owned()]).unwrap();
        assert_eq!(terms.counts().len(), 1);
    }
}
