//! Reading what the programs answered.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value as Json;

use crate::report::{Answer, Parity};

/// JSON, with the text in the error.
pub(super) fn parse(text: &str) -> Result<Json> {
    serde_json::from_str(text).with_context(|| format!("expected JSON, not `{}`", text.trim_end()))
}

/// A number by its key.
pub(super) fn number(json: &Json, key: &str) -> Result<f64> {
    json[key].as_f64().with_context(|| format!("no number `{key}` in {json}"))
}

/// What a bundle's manifest says of an engine and a graph.
pub(super) fn parity(manifest: &Json, engine: &str, variant: &str) -> Parity {
    let artifacts = manifest["artifacts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let artifact = artifacts.iter().find(|artifact| artifact["variant"] == variant);
    let said = artifact.map_or(&Json::Null, |artifact| &artifact["parity"][engine]);
    match said["max_abs_diff"].as_f64() {
        Some(difference) => Parity::Measured(difference),
        None => Parity::NotMeasured(said.as_str().unwrap_or("not measured").to_owned()),
    }
}

/// What `mbsd tag` wrote, by product.
pub(super) fn answers(path: &Path) -> Result<HashMap<String, Answer>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines().map(answer).collect()
}

fn answer(line: &str) -> Result<(String, Answer)> {
    let row = parse(line)?;
    let text = |json: &Json| json.as_str().map(str::to_owned);
    let id = text(&row["id"]).with_context(|| format!("no id in {row}"))?;
    let variant = text(&row["variant"]).with_context(|| format!("no answer in {row}"))?;
    let tags = row["tags"].as_array().with_context(|| format!("no tags in {row}"))?;
    let tags = tags.iter().map(|tag| Some((text(&tag["tag"])?, tag["score"].as_f64()?))).collect::<Option<_>>();
    Ok((id, Answer { variant, tags: tags.with_context(|| format!("a tag without name or score in {row}"))? }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_has_the_variant_and_every_tag() {
        let line =
            r#"{"id":"p1","title":null,"tags":[{"tag":"Colour:Red","score":0.75}],"variant":"image","error":null}"#;
        let (id, answer) = answer(line).unwrap();
        assert_eq!(id, "p1");
        assert_eq!(answer, Answer { variant: "image".to_owned(), tags: vec![("Colour:Red".to_owned(), 0.75)] });
    }

    #[test]
    fn a_row_without_an_answer_is_an_error_that_shows_it() {
        let error = answer(r#"{"id":"p1","tags":null,"variant":null,"error":"missing_image"}"#).unwrap_err();
        assert!(error.to_string().contains("missing_image"), "{error}");
        assert!(parse("thread panicked").unwrap_err().to_string().contains("thread panicked"));
        assert!(number(&json!({"roc_auc": null}), "roc_auc").is_err());
    }

    #[test]
    fn parity_is_measured_or_says_why_not() {
        let manifest = json!({"artifacts": [{"variant": "full", "parity": {
            "tract": {"max_abs_diff": 2e-7}, "ort-cpu": "not measured: no library"}}]});
        assert_eq!(parity(&manifest, "tract", "full"), Parity::Measured(2e-7));
        assert_eq!(parity(&manifest, "ort-cpu", "full").text(), "not measured: no library");
        assert_eq!(parity(&manifest, "tract", "text").text(), "not measured");
    }
}
