//! Do given tensors fit a graph's inputs? Asked before any engine sees them, so that every engine answers alike.

use std::collections::BTreeMap;

use mbsd_spec::bundle::{DimSpec, TensorSpec};
use mbsd_spec::{NamedTensors, Tensor};

use super::EngineError;

/// The symbol of an axis that the graph leaves without a name: it agrees with nothing.
pub(super) const ANONYMOUS: &str = "?";

/// Refuses missing and unknown names, wrong types and shapes, empty tensors, and a symbol with two values.
pub(super) fn check(specs: &[TensorSpec], inputs: &NamedTensors) -> Result<(), EngineError> {
    let wrong = |reason: String| EngineError::Inputs { reason, expected: describe(specs) };
    if let Some(unknown) = inputs.keys().find(|name| specs.iter().all(|spec| spec.name != **name)) {
        return Err(wrong(format!("the graph has no input `{unknown}`")));
    }
    let mut symbols: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for spec in specs {
        let Some(tensor) = inputs.get(&spec.name) else {
            return Err(wrong(format!("input `{}` is missing", spec.name)));
        };
        fits(spec, tensor).map_err(|reason| wrong(format!("input `{}` {reason}", spec.name)))?;
        for (dim, &extent) in spec.shape.iter().zip(tensor.shape()) {
            let DimSpec::Symbol(symbol) = dim else { continue };
            if symbol == ANONYMOUS {
                continue;
            }
            let &mut (known, first) = symbols.entry(symbol).or_insert((extent, &spec.name));
            if known != extent {
                return Err(wrong(format!(
                    "input `{}` has {symbol} = {extent}, but `{first}` has {symbol} = {known}",
                    spec.name
                )));
            }
        }
    }
    Ok(())
}

fn fits(spec: &TensorSpec, tensor: &Tensor) -> Result<(), String> {
    let takes = match spec.dtype.as_str() {
        "float32" => "float32",
        "int64" | "int32" | "uint8" | "bool" => "int64",
        other => return Err(format!("is of type {other}, which this runtime does not feed")),
    };
    if tensor.dtype() != takes {
        return Err(format!("is {}, not {takes}", tensor.dtype()));
    }
    let shape = tensor.shape();
    let same = shape.len() == spec.shape.len()
        && spec.shape.iter().zip(shape).all(|(dim, &extent)| match dim {
            DimSpec::Fixed(fixed) => *fixed == extent,
            DimSpec::Symbol(_) => true,
        });
    if !same {
        return Err(format!("has shape {shape:?}, not {}", shape_text(&spec.shape)));
    }
    if shape.contains(&0) {
        return Err(format!("of shape {shape:?} is empty"));
    }
    let (low, high) = match spec.dtype.as_str() {
        "bool" => (0, 1),
        "uint8" => (0, i64::from(u8::MAX)),
        "int32" => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => return Ok(()),
    };
    match tensor.as_i64().into_iter().flatten().find(|value| !(low..=high).contains(*value)) {
        Some(value) => Err(format!("holds {value}, which does not fit {}", spec.dtype)),
        None => Ok(()),
    }
}

/// `input_ids int64 [batch, text], pixel_values float32 [batch, 3, 224, 224]`.
fn describe(specs: &[TensorSpec]) -> String {
    if specs.is_empty() {
        return "nothing".to_owned();
    }
    let one = |spec: &TensorSpec| format!("`{}` {} {}", spec.name, spec.dtype, shape_text(&spec.shape));
    specs.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A shape as text: `[batch, 3, 224, 224]`.
pub fn shape_text(shape: &[DimSpec]) -> String {
    let one = |dim: &DimSpec| match dim {
        DimSpec::Fixed(extent) => extent.to_string(),
        DimSpec::Symbol(symbol) => symbol.clone(),
    };
    format!("[{}]", shape.iter().map(one).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs() -> Vec<TensorSpec> {
        let symbol = |name: &str| DimSpec::Symbol(name.to_owned());
        let spec = |name: &str, dtype: &str, shape: Vec<DimSpec>| TensorSpec {
            name: name.to_owned(),
            dtype: dtype.to_owned(),
            shape,
        };
        vec![
            spec("input_ids", "int64", vec![symbol("batch"), symbol("text")]),
            spec("attention_mask", "bool", vec![symbol("batch"), symbol("text")]),
            spec("pixel_values", "float32", vec![symbol("batch"), DimSpec::Fixed(3)]),
        ]
    }

    fn inputs() -> NamedTensors {
        NamedTensors::from([
            ("input_ids".to_owned(), Tensor::i64([2, 4], vec![7; 8]).unwrap()),
            ("attention_mask".to_owned(), Tensor::i64([2, 4], vec![1; 8]).unwrap()),
            ("pixel_values".to_owned(), Tensor::f32([2, 3], vec![0.5; 6]).unwrap()),
        ])
    }

    #[test]
    fn what_fits_is_taken() {
        check(&specs(), &inputs()).unwrap();
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_would() {
        let cases: [(&str, Option<Tensor>, &str); 8] = [
            ("input_ids", None, "input `input_ids` is missing"),
            ("labels", Tensor::i64([2], vec![0, 1]).ok(), "the graph has no input `labels`"),
            ("input_ids", Tensor::f32([2, 4], vec![0.0; 8]).ok(), "input `input_ids` is float32, not int64"),
            ("input_ids", Tensor::i64([8], vec![0; 8]).ok(), "input `input_ids` has shape [8], not [batch, text]"),
            (
                "pixel_values",
                Tensor::f32([2, 4], vec![0.0; 8]).ok(),
                "input `pixel_values` has shape [2, 4], not [batch, 3]",
            ),
            (
                "attention_mask",
                Tensor::i64([2, 3], vec![1; 6]).ok(),
                "input `attention_mask` has text = 3, but `input_ids` has text = 4",
            ),
            (
                "attention_mask",
                Tensor::i64([2, 4], vec![2; 8]).ok(),
                "input `attention_mask` holds 2, which does not fit bool",
            ),
            ("input_ids", Tensor::i64([2, 0], vec![]).ok(), "input `input_ids` of shape [2, 0] is empty"),
        ];
        let takes = "; the graph takes `input_ids` int64 [batch, text], `attention_mask` bool [batch, text], \
                     `pixel_values` float32 [batch, 3]";
        for (name, tensor, message) in cases {
            let mut inputs = inputs();
            match tensor {
                Some(tensor) => inputs.insert(name.to_owned(), tensor),
                None => inputs.remove(name),
            };
            let error = check(&specs(), &inputs).unwrap_err();
            assert_eq!(error.to_string(), format!("{message}{takes}"));
        }
    }
}
