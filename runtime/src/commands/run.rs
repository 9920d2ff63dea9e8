//! `mbsd run`: one graph of a bundle on tensors from a file, compared with what the file says should come out.

use std::io::{self, Write};

use anyhow::{Context, Result, bail};
use mbsd_runtime::tensors;
use mbsd_spec::bundle::TensorSpec;
use mbsd_spec::{Bundle, NamedTensors, Tensor, Variant};
use serde_json::json;

use super::catalogue;
use crate::cli::RunArgs;

pub(crate) fn run(args: RunArgs) -> Result<()> {
    let bundle = Bundle::open(&args.bundle.bundle)?;
    let (_, path) = bundle.artifact(args.variant, args.engine.precision)?;
    let engine = catalogue::open_engine(&args.engine)?;
    let mut session = engine.load(&path, &args.engine.session_options())?;
    let given = tensors::read(&args.inputs)?;
    let prefix = args.prefix.as_deref().unwrap_or("");

    let inputs = pick(session.inputs(), &given, prefix);
    note_unused(&given, session.inputs(), session.outputs(), prefix, args.variant);
    let outputs = session.run(&inputs)?;
    if let Some(path) = &args.outputs {
        if mbsd_data::reads(&args.inputs, path) {
            bail!("--outputs {} is the file of the inputs: name another", path.display());
        }
        tensors::write(path, &outputs)?;
    }
    let compared = if args.check { compare(&outputs, &given, args.variant)? } else { Vec::new() };

    let mut out = io::stdout().lock();
    if args.json {
        let described = outputs.iter().map(|(name, tensor)| {
            let difference = compared.iter().find(|one| one.output == *name);
            json!({
                "name": name, "dtype": tensor.dtype(), "shape": tensor.shape(),
                "max_abs_diff": difference.map(|d| d.max), "mean_abs_diff": difference.map(|d| d.mean),
            })
        });
        let report = json!({
            "variant": args.variant, "precision": args.engine.precision, "engine": engine.kind().name(),
            "engine_version": engine.version(), "tolerance": args.tolerance, "outputs": described.collect::<Vec<_>>(),
        });
        writeln!(out, "{report:#}")?;
    } else {
        writeln!(out, "{} {} on {} {}", args.variant, args.engine.precision, engine.kind(), engine.version())?;
        for (name, tensor) in &outputs {
            write!(out, "  {name} {} {:?}", tensor.dtype(), tensor.shape())?;
            match compared.iter().find(|one| one.output == *name) {
                Some(one) => writeln!(out, ": max difference {:.3e}, mean {:.3e}", one.max, one.mean)?,
                None => writeln!(out)?,
            }
        }
    }
    if let Some(worst) = compared.iter().find(|one| one.max.is_nan() || one.max > args.tolerance) {
        bail!("output `{}` differs by {:.3e}, more than the tolerance {:.3e}", worst.output, worst.max, args.tolerance);
    }
    Ok(())
}

/// The graph's inputs from the file. Segment ids that the file leaves out are all 0.
fn pick(specs: &[TensorSpec], given: &NamedTensors, prefix: &str) -> NamedTensors {
    let mut inputs = NamedTensors::new();
    for spec in specs {
        if let Some(tensor) = find(given, prefix, &spec.name) {
            inputs.insert(spec.name.clone(), tensor.clone());
        } else if spec.name == "token_type_ids"
            && let Some(Tensor::I64 { shape, data }) = find(given, prefix, "input_ids")
        {
            eprintln!("note: token_type_ids is not among the tensors: taken as all 0");
            inputs.insert(spec.name.clone(), Tensor::I64 { shape: shape.clone(), data: vec![0; data.len()] });
        }
    }
    inputs
}

fn find<'t>(given: &'t NamedTensors, prefix: &str, name: &str) -> Option<&'t Tensor> {
    given.get(&format!("{prefix}{name}")).or_else(|| given.get(name))
}

fn note_unused(given: &NamedTensors, inputs: &[TensorSpec], outputs: &[TensorSpec], prefix: &str, variant: Variant) {
    let used = |name: &str| {
        inputs.iter().any(|spec| name == spec.name || name.strip_prefix(prefix) == Some(&spec.name))
            || outputs.iter().any(|spec| name == spec.name || name == format!("{variant}.{}", spec.name))
    };
    let unused: Vec<&str> = given.keys().map(String::as_str).filter(|name| !used(name)).collect();
    if !unused.is_empty() {
        eprintln!("note: {} tensors that the graph does not know are left aside: {}", unused.len(), unused.join(", "));
    }
}

struct Difference {
    output: String,
    max: f64,
    mean: f64,
}

/// Differences of every output that the file has an expectation for.
fn compare(outputs: &NamedTensors, given: &NamedTensors, variant: Variant) -> Result<Vec<Difference>> {
    let mut differences = Vec::new();
    for (name, tensor) in outputs {
        let Some(expected) = given.get(&format!("{variant}.{name}")).or_else(|| given.get(name)) else { continue };
        let (max, mean) = difference(tensor, expected).with_context(|| format!("cannot compare output `{name}`"))?;
        differences.push(Difference { output: name.clone(), max, mean });
    }
    if differences.is_empty() {
        let names = outputs.keys().map(|name| format!("`{name}` or `{variant}.{name}`")).collect::<Vec<_>>();
        bail!("--check has nothing to compare with: the inputs file holds no {}", names.join(", "));
    }
    Ok(differences)
}

/// Largest and mean absolute difference. Axes of extent 1 do not count: `[batch, 1]` holds what `[batch]` does.
fn difference(found: &Tensor, expected: &Tensor) -> Result<(f64, f64)> {
    let plain = |tensor: &Tensor| tensor.shape().iter().copied().filter(|&extent| extent != 1).collect::<Vec<_>>();
    if plain(found) != plain(expected) {
        bail!("it has shape {:?}, the file says {:?}", found.shape(), expected.shape());
    }
    let values = |tensor: &Tensor| -> Vec<f64> {
        match tensor {
            Tensor::F32 { data, .. } => data.iter().map(|&v| f64::from(v)).collect(),
            Tensor::I64 { data, .. } => data.iter().map(|&v| v as f64).collect(),
        }
    };
    let (found, expected) = (values(found), values(expected));
    let mut max = 0.0_f64;
    let mut sum = 0.0;
    for (found, expected) in found.iter().zip(&expected) {
        let difference = if found == expected { 0.0 } else { (found - expected).abs() };
        // f64::max would pass over what is not a number.
        if difference.is_nan() || difference > max {
            max = if max.is_nan() { max } else { difference };
        }
        sum += difference;
    }
    Ok((max, sum / found.len().max(1) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(shape: &[usize], data: &[f32]) -> Tensor {
        Tensor::f32(shape, data.to_vec()).unwrap()
    }

    #[test]
    fn differences_are_absolute_and_see_nan() {
        let expected = floats(&[2, 1], &[1.0, 2.0]);
        assert_eq!(difference(&floats(&[2], &[1.5, 2.0]), &expected).unwrap(), (0.5, 0.25));
        assert!(difference(&floats(&[2], &[f32::NAN, 2.0]), &expected).unwrap().0.is_nan());
        assert!(difference(&floats(&[3], &[1.0, 2.0, 3.0]), &expected).is_err());
    }

    #[test]
    fn a_variants_expectation_is_preferred() {
        let outputs = NamedTensors::from([("logits".to_owned(), floats(&[1], &[1.0]))]);
        let mut given = NamedTensors::from([("logits".to_owned(), floats(&[1], &[9.0]))]);
        assert_eq!(compare(&outputs, &given, Variant::Text).unwrap()[0].max, 8.0);
        given.insert("text.logits".to_owned(), floats(&[1], &[1.0]));
        assert_eq!(compare(&outputs, &given, Variant::Text).unwrap()[0].max, 0.0);
        assert!(compare(&outputs, &NamedTensors::new(), Variant::Text).is_err());
    }

    #[test]
    fn a_prefix_is_taken_off_and_segments_default_to_zero() {
        let spec = |name: &str| TensorSpec { name: name.to_owned(), dtype: "int64".to_owned(), shape: vec![] };
        let specs = [spec("input_ids"), spec("token_type_ids")];
        let ids = Tensor::i64([1, 2], vec![5, 6]).unwrap();
        let given = NamedTensors::from([("src_input_ids".to_owned(), ids.clone())]);
        let inputs = pick(&specs, &given, "src_");
        assert_eq!(inputs["input_ids"], ids);
        assert_eq!(inputs["token_type_ids"], Tensor::i64([1, 2], vec![0, 0]).unwrap());
        assert!(pick(&specs, &given, "").is_empty());
    }
}
