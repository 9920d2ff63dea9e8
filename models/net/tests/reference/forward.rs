//! Forward passes and losses.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor, TensorData, s};
use mbsd_net::{Arithmetic, Encoded, ImageInput, TextInput};
use mbsd_spec::Task;

use crate::case::{Case, TOLERANCE, assert_close, values};

/// Mean binary cross-entropy of logits, in double precision.
fn binary_cross_entropy(logits: &[f32], labels: &[f32]) -> f32 {
    let terms = logits.iter().zip(labels).map(|(&x, &y)| {
        let (x, y) = (f64::from(x), f64::from(y));
        x.max(0.0) - x * y + (-x.abs()).exp().ln_1p()
    });
    (terms.sum::<f64>() / logits.len() as f64) as f32
}

#[track_caller]
fn assert_loss(found: f32, case: &Case) {
    let expected = case.floats("loss")[0];
    assert!((found - expected).abs() <= TOLERANCE * expected.abs().max(1.0), "loss {found}, expected {expected}");
}

#[test]
fn reference_classification() {
    Case::on_each_device("classification").iter().for_each(classification);
}

fn classification(case: &Case) {
    let model = case.model(Task::Classification);
    let present = ImageInput { present: Some(case.tensor("image_present")), ..case.image("") };
    for (name, text, image) in [
        ("full", Some(case.text("", false)), Some(case.image(""))),
        ("text", Some(case.text("", false)), None),
        ("image", None, Some(case.image(""))),
        ("image_masked", Some(case.text("", false)), Some(present)),
    ] {
        let first = model.pooled(text.clone(), image.clone());
        assert_close(&format!("{name}.pooled, first token only"), first, &case.floats(&format!("{name}.pooled")));
        let Encoded { last_hidden_state, pooled } = model.encode(text, image);
        if name != "image_masked" {
            let expected = case.floats(&format!("{name}.last_hidden_state"));
            assert_close(&format!("{name}.last_hidden_state"), last_hidden_state, &expected);
        }
        assert_close(&format!("{name}.pooled"), pooled.clone(), &case.floats(&format!("{name}.pooled")));
        let logits = model.head_outputs(pooled);
        assert_close(&format!("{name}.logits"), logits.clone(), &case.floats(&format!("{name}.logits")));
        if name == "full" {
            let labels: Vec<i64> = case.floats("labels").iter().map(|&label| label as i64).collect();
            let rows = labels.len();
            let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [rows]), &logits.device());
            let chosen = log_softmax(logits, 1).gather(1, labels.unsqueeze_dim(1));
            assert_loss(-values(chosen.mean())[0], case);
        }
    }
    let features = model.patch_features(case.tensor("pixel_values"));
    assert_close("patch_features", features, &case.floats("patch_features"));
}

#[test]
fn reference_match() {
    Case::on_each_device("match").iter().for_each(match_head);
}

fn match_head(case: &Case) {
    let model = case.model(Task::Match);
    let logits = model.match_logits(model.encode(Some(case.text("", true)), Some(case.image(""))).pooled);
    assert_close("logits", logits.clone(), &case.floats("logits"));
    assert_loss(binary_cross_entropy(&values(logits), &case.floats("labels")), case);
}

#[test]
fn reference_alignment() {
    Case::on_each_device("alignment").iter().for_each(alignment);
}

fn alignment(case: &Case) {
    let model = case.model(Task::Alignment);
    let pooled = |prefix| model.encode(Some(case.text(prefix, false)), Some(case.image(prefix))).pooled;
    let logits = model.pair_logits(pooled("src_"), pooled("tgt_"));
    assert_close("logits", logits.clone(), &case.floats("logits"));
    assert_loss(binary_cross_entropy(&values(logits), &case.floats("labels")), case);
}

#[test]
fn reference_row_does_not_depend_on_batch_mates_or_padding() {
    let case = Case::open("match");
    let model = case.model(Task::Match);
    let together = values(model.match_logits(model.encode(Some(case.text("", true)), Some(case.image(""))).pooled));
    let TextInput { input_ids, attention_mask, token_type_ids } = case.text("", true);
    let (mask, segments) = (attention_mask.unwrap(), token_type_ids.unwrap());
    let lengths = values(mask.clone().float().sum_dim(1));
    assert!(lengths.iter().any(|&length| length < input_ids.dims()[1] as f32), "the case should have padding");
    for (row, &length) in lengths.iter().enumerate() {
        let cut = |ids: &Tensor<2, Int>| ids.clone().slice([row..row + 1, 0..length as usize]);
        let text = TextInput { input_ids: cut(&input_ids), attention_mask: None, token_type_ids: Some(cut(&segments)) };
        let pixel_values = case.tensor::<4>("pixel_values").slice(s![row..row + 1]);
        let alone =
            model.match_logits(model.encode(Some(text), Some(ImageInput { pixel_values, present: None })).pooled);
        assert_close(&format!("row {row} alone"), alone, &together[row..row + 1]);
    }
}

#[test]
fn reference_forward_in_bfloat16() {
    /// Of logits: bfloat16 has 8 bits, and the products of four layers add up.
    const BFLOAT16: f32 = 2e-2;
    for (name, task) in [("classification", Task::Classification), ("match", Task::Match)] {
        for case in Case::on_each_device(name) {
            let model = case.model(task).with_arithmetic(Arithmetic::Bf16);
            let encoded = model.encode(Some(case.text("", task == Task::Match)), Some(case.image("")));
            assert_eq!(encoded.last_hidden_state.dtype(), DType::BF16);
            assert_eq!(encoded.pooled.dtype(), DType::F32);
            let found = values(model.head_outputs(encoded.pooled));
            let expected = match task {
                Task::Match => case.floats("logits"),
                _ => case.floats("full.logits"),
            };
            let differences = found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs());
            let largest = differences.fold(0.0, f32::max);
            assert!(largest > 1e-6, "{name}: this is single precision");
            assert!(largest <= BFLOAT16, "{name}: logits differ by {largest:e}");
        }
    }
}
