//! Attribute values in the words of those who search.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::PairsError;
use super::words::normalized;

/// From a column and a value to words: `{"gender": {"Men": "men", "Unisex": ["men", "women"], "NA": ""}}`. Several
/// words are all true of the value; empty text says that nothing is known of it. Other values are their own words.
#[derive(Debug, Clone, Default)]
pub struct Wording {
    columns: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Several(Vec<String>),
}

impl Wording {
    /// Reads a map from a JSON file.
    ///
    /// # Errors
    /// If it cannot be read or has another form.
    pub fn read(path: &Path) -> Result<Self, PairsError> {
        let text = std::fs::read_to_string(path).map_err(|error| PairsError::json(path, error.to_string()))?;
        let columns: BTreeMap<String, BTreeMap<String, Words>> = serde_json::from_str(&text).map_err(|error| {
            let form = r#"{"column": {"value": "words", "other value": ["words", "more words"]}}"#;
            PairsError::json(path, format!("expected {form}: {error}"))
        })?;
        let words = |words| match words {
            Words::One(word) => vec![normalized(&word)],
            Words::Several(words) => words.iter().map(|word| normalized(word)).collect(),
        };
        let column =
            |values: BTreeMap<String, Words>| values.into_iter().map(|(value, given)| (value, words(given))).collect();
        Ok(Self { columns: columns.into_iter().map(|(name, values)| (name, column(values))).collect() })
    }

    /// The columns it has words for.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.keys().map(String::as_str)
    }

    /// The words of a value; empty text among them stands for saying nothing.
    pub fn of(&self, column: &str, value: &str) -> Vec<String> {
        let known = self.columns.get(column).and_then(|values| values.get(value));
        known.cloned().unwrap_or_else(|| vec![normalized(value)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_without_words_are_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.json");
        std::fs::write(&path, r#"{"gender": {"Unisex": ["Men", "women"], "NA": ""}}"#).unwrap();
        let words = Wording::read(&path).unwrap();
        assert_eq!(words.of("gender", "Unisex"), ["men", "women"]);
        assert_eq!(words.of("gender", "NA"), [""]);
        assert_eq!(words.of("gender", "Girls"), ["girls"]);
        assert_eq!(words.of("colour", "NA"), ["na"]);
        assert_eq!(words.columns().collect::<Vec<_>>(), ["gender"]);
        std::fs::write(&path, r#"{"Unisex": "men"}"#).unwrap();
        let error = Wording::read(&path).unwrap_err().to_string();
        assert!(error.contains("words.json: expected {\"column\": {\"value\""), "{error}");
    }
}
