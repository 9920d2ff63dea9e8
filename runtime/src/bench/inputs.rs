//! Made-up rows for a graph: full length, no padding.

use std::collections::BTreeSet;

use mbsd_spec::bundle::{DimSpec, TensorSpec};
use mbsd_spec::tensor::ShapeError;
use mbsd_spec::{NamedTensors, Tensor};

/// The symbol of the axis over rows.
pub(super) const BATCH: &str = "batch";

/// The symbol of the axis over text tokens.
pub(super) const TEXT: &str = "text";

/// The symbol of the axis over tags, where products are read apart from them, and how many a row has.
const TAGS: (&str, usize) = ("tags", 20);

/// The symbol of the axis over a tag's tokens, and how many it has.
const TAG_TEXT: (&str, usize) = ("tag_text", 6);

/// Whether a graph's inputs have an axis over tags.
pub(super) fn reads_tags(inputs: &[TensorSpec]) -> bool {
    symbols(inputs).contains(TAGS.0)
}

/// The sizes that a request always has.
pub(super) fn usual_sizes() -> [(&'static str, usize); 2] {
    [TAGS, TAG_TEXT]
}

/// Whether a graph's inputs have an axis over text tokens.
pub(super) fn reads_text(inputs: &[TensorSpec]) -> bool {
    symbols(inputs).contains(TEXT)
}

/// The symbols that are none of the known ones.
pub(super) fn unknown_symbols(inputs: &[TensorSpec]) -> Vec<&str> {
    symbols(inputs).into_iter().filter(|symbol| ![BATCH, TEXT, TAGS.0, TAG_TEXT.0].contains(symbol)).collect()
}

fn symbols(inputs: &[TensorSpec]) -> BTreeSet<&str> {
    let dims = inputs.iter().flat_map(|spec| &spec.shape);
    dims.filter_map(|dim| if let DimSpec::Symbol(symbol) = dim { Some(symbol.as_str()) } else { None }).collect()
}

/// Inputs of `rows` rows of `text` tokens below `vocabulary`, each with 20 tags of 6 tokens where the graph reads tags apart. Masks
/// have no padding.
///
/// # Errors
/// If the sizes are beyond what a tensor can have.
pub(super) fn made_up(
    inputs: &[TensorSpec],
    rows: usize,
    text: Option<usize>,
    vocabulary: usize,
) -> Result<NamedTensors, ShapeError> {
    let one = |spec: &TensorSpec| {
        let extent = |dim: &DimSpec| match dim {
            DimSpec::Fixed(extent) => *extent,
            DimSpec::Symbol(symbol) if symbol == TEXT => text.unwrap_or(1),
            DimSpec::Symbol(symbol) => {
                let usual = usual_sizes().into_iter().find(|(name, _)| symbol == name);
                usual.map_or(rows, |(_, size)| size)
            }
        };
        let shape: Vec<usize> = spec.shape.iter().map(extent).collect();
        let count: usize = shape.iter().product();
        let tensor = match (spec.name.as_str(), spec.dtype.as_str()) {
            (_, "float32") => {
                Tensor::f32(shape, (0..count).map(|i| (i * 7919 % 2003) as f32 / 1001.5 - 1.0).collect())?
            }
            ("attention_mask" | "tag_mask", _) | (_, "bool") => Tensor::i64(shape, vec![1; count])?,
            ("token_type_ids", _) => Tensor::i64(shape, vec![0; count])?,
            _ => Tensor::i64(shape, (0..count).map(|i| (i * 37 % vocabulary.max(1)) as i64).collect())?,
        };
        Ok((spec.name.clone(), tensor))
    };
    inputs.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_fit_the_graph() {
        let symbol = |name: &str| DimSpec::Symbol(name.to_owned());
        let spec = |name: &str, dtype: &str, shape: &[DimSpec]| TensorSpec {
            name: name.to_owned(),
            dtype: dtype.to_owned(),
            shape: shape.to_vec(),
        };
        let text = [symbol(BATCH), symbol(TEXT)];
        let specs = [
            spec("input_ids", "int64", &text),
            spec("attention_mask", "int64", &text),
            spec("pixel_values", "float32", &[symbol(BATCH), DimSpec::Fixed(3)]),
        ];
        assert!(reads_text(&specs) && !reads_text(&specs[2..]) && unknown_symbols(&specs).is_empty());
        let inputs = made_up(&specs, 2, Some(5), 10).unwrap();
        assert_eq!(inputs["input_ids"].shape(), [2, 5]);
        assert!(inputs["input_ids"].as_i64().unwrap().iter().all(|id| (0..10).contains(id)));
        assert_eq!(inputs["attention_mask"].as_i64().unwrap(), [1; 10]);
        assert_eq!(inputs["pixel_values"].shape(), [2, 3]);
        let tags = spec("tag_mask", "int64", &[symbol(BATCH), symbol("tags"), symbol("tag_text")]);
        assert!(reads_tags(std::slice::from_ref(&tags)) && unknown_symbols(std::slice::from_ref(&tags)).is_empty());
        let inputs = made_up(&[tags], 2, Some(5), 10).unwrap();
        assert_eq!(inputs["tag_mask"], Tensor::i64([2, 20, 6], vec![1; 240]).unwrap());
        assert_eq!(unknown_symbols(&[spec("x", "float32", &[symbol("frames")])]), ["frames"]);
    }
}
