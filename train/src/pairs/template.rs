//! A log where there is none: products "bought" with queries made of their attributes.

use super::PairsError;
use super::catalogue::{Catalogue, ProductRow};
use super::log::{Log, RawLog};
use super::words::normalized;

/// Queries one template may make of one product; lists of values multiply.
const MOST: usize = 1000;

/// A query with places for attributes, such as `{baseColour} {gender} {articleType}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(String),
}

impl Template {
    /// Takes a template apart.
    ///
    /// # Errors
    /// If a brace is not closed, a name is empty, or there is no name at all.
    pub fn parse(template: &str) -> Result<Self, PairsError> {
        let wrong = |what: &str| {
            let example = "{baseColour} {gender} {articleType}";
            PairsError::Setting(format!("--query \"{template}\": {what}; write columns in braces, as in \"{example}\""))
        };
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            let close =
                rest[open..].find('}').map(|close| open + close).ok_or_else(|| wrong("a brace is not closed"))?;
            let name = rest[open + 1..close].trim();
            if name.is_empty() {
                return Err(wrong("a column has no name"));
            }
            parts.push(Part::Text(rest[..open].to_owned()));
            parts.push(Part::Column(name.to_owned()));
            rest = &rest[close + 1..];
        }
        if parts.is_empty() {
            return Err(wrong("it names no column"));
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { parts })
    }

    /// The columns it needs.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The queries that describe a product: one for each choice among the words of its values. Values that are
    /// missing drop out; where all are, there is no query.
    fn queries(&self, catalogue: &Catalogue, product: &ProductRow) -> Vec<String> {
        let mut made = vec![(String::new(), false)];
        for part in &self.parts {
            match part {
                Part::Text(text) => made.iter_mut().for_each(|(query, _)| query.push_str(text)),
                Part::Column(name) => {
                    let column = catalogue.columns.iter().position(|column| column == name);
                    let mut words: Vec<&str> =
                        column.map_or_else(Vec::new, |column| catalogue.words(product, column).collect());
                    if words.is_empty() {
                        words.push("");
                    }
                    let with = |(query, any): &(String, bool), word: &str| {
                        (format!("{query}{word}"), *any || !word.is_empty())
                    };
                    made =
                        made.iter().flat_map(|query| words.iter().map(|word| with(query, word))).take(MOST).collect();
                }
            }
        }
        made.into_iter().filter(|(_, any)| *any).map(|(query, _)| normalized(&query)).collect()
    }
}

/// A log in which every product is bought with the queries that describe it, each by as many people as there are
/// products that it describes.
pub(super) fn log_from_attributes(catalogue: &Catalogue, templates: &[Template]) -> Log {
    let mut raw = RawLog::default();
    for (place, product) in catalogue.products.iter().enumerate() {
        for query in templates.iter().flat_map(|template| template.queries(catalogue, product)) {
            let query = raw.queries.intern(&query);
            raw.push(place as u32, query, 1);
        }
    }
    let (mut log, _) = raw.sorted(catalogue.products.len(), Some);
    log.count_products_as_buyers();
    log
}

#[cfg(test)]
mod tests {
    use super::super::Wording;
    use super::super::catalogue::testing::{attributes, input};
    use super::super::rows::RowCount;
    use super::*;

    #[test]
    fn queries_are_made_of_values_in_shoppers_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        std::fs::write(
            &path,
            r#"{"id": 1, "category": "x", "colour": "Navy Blue", "gender": "Men", "type": "Shirts"}
{"id": 2, "category": "x", "colour": null, "gender": "Unisex", "type": "Shirts"}
{"id": 3, "category": "x", "colour": ["Red", "Green"], "gender": "NA", "type": "Shirts"}
{"id": 4, "category": "x", "colour": "", "gender": "NA", "type": null}
"#,
        )
        .unwrap();
        let words = folder.path().join("words.json");
        std::fs::write(&words, r#"{"gender": {"Unisex": ["men", "women"], "NA": ""}}"#).unwrap();
        let columns = ["colour", "gender", "type"].map(str::to_owned);
        let words = Wording::read(&words).unwrap();
        let attributes = attributes(&columns, &words);
        let catalogue = Catalogue::read(&input(&path), &attributes, None, &mut RowCount::default(), |_, _| ()).unwrap();
        let templates = ["{colour} {gender} {type}", "buy {type}"].map(|text| Template::parse(text).unwrap());
        let log = log_from_attributes(&catalogue, &templates);
        let queries = |product: usize| -> Vec<_> {
            log.of_product(product).iter().map(|b| (log.queries.text(b.query), b.buyers)).collect()
        };
        assert_eq!(queries(0), [("buy shirts", 3), ("navy blue men shirts", 1)]);
        assert_eq!(queries(1), [("buy shirts", 3), ("men shirts", 1), ("women shirts", 1)]);
        assert_eq!(queries(2), [("buy shirts", 3), ("green shirts", 1), ("red shirts", 1)]);
        assert!(queries(3).is_empty(), "nothing is known of it");
    }

    #[test]
    fn a_template_that_says_nothing_is_refused() {
        for (template, what) in
            [("shirts", "it names no column"), ("{colour", "a brace is not closed"), ("{ } x", "a column has no name")]
        {
            let error = Template::parse(template).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("{baseColour}"), "{error}");
        }
        let template = Template::parse("{颜色}{品类}").unwrap();
        assert_eq!(template.columns().collect::<Vec<_>>(), ["颜色", "品类"]);
    }
}
