//! The equations row by row in double precision, and what may not have a gradient.

use burn::tensor::{Device, TensorData};

use super::*;

/// Label, text logit, image logit. Text is stronger in the first, image in the second; in the third both are wrong; in
/// the fourth the stronger is right and the weaker wrong; the fifth is a tie.
const ROWS: [(f64, f64, f64); 5] =
    [(1.0, 1.5, 0.5), (0.0, -0.25, -2.0), (1.0, -0.5, -1.0), (0.0, -1.0, 3.0), (1.0, 0.75, 0.75)];
const HIDDEN: usize = 3;

fn probability(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

fn divergence(p: f64, q: f64) -> f64 {
    p * (p / q).ln() + (1.0 - p) * ((1.0 - p) / (1.0 - q)).ln()
}

fn text_vector(row: usize) -> [f64; HIDDEN] {
    [0.1 * row as f64, -0.2, 0.3]
}

fn image_vector(row: usize) -> [f64; HIDDEN] {
    [-0.4, 0.1 * row as f64, 0.25]
}

/// Eq. 6 to 9 of a row as they are written: whether text is stronger, w, D(weak, strong), D(strong, weak) and the
/// distance; `None` where Eq. 9 gives 0.
fn equations((label, text, image): (f64, f64, f64), row: usize) -> Option<(bool, f64, f64, f64, f64)> {
    let (text, image) = (probability(text), probability(image));
    let strong = if label == 0.0 { text.min(image) } else { text.max(image) };
    let weak = if strong == image { text } else { image };
    let right = if label == 0.0 { strong < 0.5 } else { strong > 0.5 };
    let weight = (strong - weak).abs();
    let squares = text_vector(row).iter().zip(image_vector(row)).map(|(t, v)| (t - v).powi(2)).sum::<f64>();
    (right && weight > 0.0)
        .then(|| (strong == text, weight, divergence(weak, strong), divergence(strong, weak), squares / HIDDEN as f64))
}

fn vector(values: impl IntoIterator<Item = f64>, device: &Device) -> Tensor<1> {
    let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}

fn matrix(rows: usize, row: fn(usize) -> [f64; HIDDEN], device: &Device) -> Tensor<2> {
    vector((0..rows).flat_map(row), device).reshape([rows, HIDDEN])
}

fn inputs(rows: &[(f64, f64, f64)], device: &Device) -> (UniModal, Tensor<1>) {
    let uni_modal = UniModal {
        qt_logits: vector(rows.iter().map(|row| row.1), device),
        qv_logits: vector(rows.iter().map(|row| row.2), device),
        qt_pooled: matrix(rows.len(), text_vector, device),
        qv_pooled: matrix(rows.len(), image_vector, device),
        present: None,
    };
    (uni_modal, vector(rows.iter().map(|row| row.0), device))
}

fn losses(rows: &[(f64, f64, f64)], settings: SdmiSettings) -> SdmiLosses {
    let device = Device::flex();
    let (uni_modal, labels) = inputs(rows, &device);
    sdmi_losses(vector(vec![0.3; rows.len()], &device), Some(uni_modal), labels, settings)
}

fn scalar(loss: &Tensor<1>) -> f64 {
    f64::from(loss.clone().into_scalar::<f32>())
}

#[track_caller]
fn assert_near(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{what}: {found}, expected {expected}");
}

#[test]
fn losses_follow_the_equations() {
    for kl_direction in [KlDirection::WeakFromStrong, KlDirection::StrongFromWeak] {
        for average in [Average::Batch, Average::PerDirection] {
            for adaptive_weight in [true, false] {
                let settings = SdmiSettings { kl_direction, average, adaptive_weight, ..SdmiSettings::paper() };
                let (mut sums, mut taught) = ([[0.0; 2]; 2], [0.0; 2]);
                for (row, &values) in ROWS.iter().enumerate() {
                    let Some((text, weight, weak_strong, strong_weak, distance)) = equations(values, row) else {
                        continue;
                    };
                    let weight = if adaptive_weight { weight } else { 1.0 };
                    let kl = if kl_direction == KlDirection::WeakFromStrong { weak_strong } else { strong_weak };
                    let direction = usize::from(!text);
                    taught[direction] += 1.0;
                    sums[direction][0] += weight * kl;
                    sums[direction][1] += weight * distance;
                }
                assert_eq!(taught, [2.0, 1.0], "rows in which text and image teach");
                let divisor = |direction: usize| match average {
                    Average::Batch => ROWS.len() as f64,
                    Average::PerDirection => taught[direction],
                };
                let expected = |term: usize| sums[0][term] / divisor(0) + sums[1][term] / divisor(1);
                let found = losses(&ROWS, settings);
                let uni_modal = found.uni_modal.unwrap();
                let what = format!("{settings:?}");
                assert_near(scalar(&uni_modal.text_teaches.kl), sums[0][0] / divisor(0), &what);
                assert_near(scalar(&uni_modal.image_teaches.rs), sums[1][1] / divisor(1), &what);
                assert_near(scalar(&uni_modal.kl), expected(0), &what);
                assert_near(scalar(&uni_modal.rs), expected(1), &what);
                let hard = [&found.qi, &uni_modal.qt, &uni_modal.qv].map(scalar).iter().sum::<f64>();
                assert_near(scalar(&found.total), hard + expected(0) + expected(1), &what);
            }
        }
    }
}

#[test]
fn switches_take_losses_out_of_the_sum() {
    let total = |use_uni_modal, use_distillation| {
        scalar(&losses(&ROWS, SdmiSettings { use_uni_modal, use_distillation, ..SdmiSettings::paper() }).total)
    };
    let whole = losses(&ROWS, SdmiSettings::paper());
    let uni_modal = whole.uni_modal.unwrap();
    let hard = scalar(&uni_modal.qt) + scalar(&uni_modal.qv);
    let soft = scalar(&uni_modal.kl) + scalar(&uni_modal.rs);
    let qi = scalar(&whole.qi);
    assert_near(total(true, false), qi + hard, "without KL and RS");
    assert_near(total(false, true), qi + soft, "without QT and QV");
    assert_near(total(false, false), qi, "QI only");
    let device = Device::flex();
    let only = SdmiSettings { use_uni_modal: false, use_distillation: false, ..SdmiSettings::paper() };
    let (_, labels) = inputs(&ROWS, &device);
    let alone = sdmi_losses(vector(vec![0.3; ROWS.len()], &device), None, labels, only);
    assert!(alone.uni_modal.is_none());
    assert_near(scalar(&alone.total), qi, "the uni-modal inputs need not be encoded");
}

#[test]
fn equal_probabilities_and_wrong_strong_modalities_teach_nothing() {
    for settings in [SdmiSettings::paper(), SdmiSettings::released()] {
        for adaptive_weight in [true, false] {
            let settings = SdmiSettings { adaptive_weight, ..settings };
            for rows in [[(1.0, 0.75, 0.75), (0.0, -3.0, -3.0)], [(1.0, -0.1, -4.0), (0.0, 2.0, 0.0)]] {
                let found = losses(&rows, settings).uni_modal.unwrap();
                assert_eq!((scalar(&found.kl), scalar(&found.rs)), (0.0, 0.0), "{rows:?} {settings:?}");
            }
        }
    }
}

#[test]
fn saturated_logits_give_finite_losses_and_gradients() {
    let rows = [
        (1.0, 100.0, -100.0),
        (0.0, 100.0, -100.0),
        (1.0, 100.0, 100.0),
        (0.0, 100.0, 100.0),
        (0.0, -100.0, 0.0),
        (1.0, 1000.0, 0.0),
    ];
    for settings in [SdmiSettings::paper(), SdmiSettings::released()] {
        let device = Device::flex().autodiff();
        let (mut uni_modal, labels) = inputs(&rows, &device);
        uni_modal.qt_logits = uni_modal.qt_logits.require_grad();
        uni_modal.qv_logits = uni_modal.qv_logits.require_grad();
        let logits = [uni_modal.qt_logits.clone(), uni_modal.qv_logits.clone()];
        let found = sdmi_losses(vector(vec![-100.0; rows.len()], &device), Some(uni_modal), labels, settings);
        assert!(scalar(&found.total).is_finite(), "{settings:?}");
        let kl = scalar(&found.uni_modal.as_ref().unwrap().kl);
        assert!(kl > 1.0 && kl < 300.0, "{settings:?}: {kl}");
        let gradients = found.total.backward();
        for logits in logits {
            let gradient: Vec<f32> = logits.grad(&gradients).unwrap().into_data().iter::<f32>().collect();
            assert!(gradient.iter().all(|value| value.is_finite()), "{settings:?}: {gradient:?}");
        }
    }
}

/// A row that lacks a modality counts as if the others were all there is, but for the size of the batch.
#[test]
fn a_modality_that_is_not_there_neither_learns_nor_teaches() {
    let device = Device::flex();
    let rows = [ROWS[0], ROWS[1], ROWS[3]];
    let losses = |rows: &[(f64, f64, f64)], present: Option<[Vec<f64>; 2]>, settings| {
        let (uni_modal, labels) = inputs(rows, &device);
        let present =
            present.map(|[text, image]| Present { text: vector(text, &device), image: vector(image, &device) });
        let qi = vector(rows.iter().map(|_| 0.3), &device);
        let found = sdmi_losses(qi, Some(UniModal { present, ..uni_modal }), labels, settings).uni_modal.unwrap();
        [found.qt, found.qv, found.kl, found.rs].map(|loss| scalar(&loss))
    };
    let all = || vec![1.0; 3];
    for settings in [SdmiSettings::paper(), SdmiSettings::released()] {
        let whole = losses(&rows, None, settings);
        assert_eq!(losses(&rows, Some([all(), all()]), settings), whole);
        let [qt, qv, kl, rs] = losses(&rows, Some([vec![1.0, 0.0, 1.0], vec![1.0, 1.0, 0.0]]), settings);
        let alone = |row: usize| losses(&rows[row..=row], None, settings);
        assert_near(qt, (alone(0)[0] + alone(2)[0]) / 3.0, "text of the rows with a title");
        assert_near(qv, (alone(0)[1] + alone(1)[1]) / 3.0, "image of the rows with an image");
        // In the first row text teaches; over how many rows that is averaged is a matter of the settings.
        let taught = if settings.average == Average::Batch { 3.0 } else { 1.0 };
        assert_near(kl, alone(0)[2] / taught, "divergence of the row with both");
        assert_near(rs, alone(0)[3] / taught, "distance of the row with both");
    }
}

/// Gradients of KL with respect to both logits, and of RS with respect to both pooled vectors and both logits.
#[test]
fn the_strong_side_and_the_weight_carry_no_gradient() {
    let (label, text, image) = ROWS[3];
    let (strong, weak) = (probability(text), probability(image));
    let weight = weak - strong;
    // With w and the strong probability constant: of p log(p / s) + ... through p, and of s log(s / p) + ... through p.
    let slope = weak * (1.0 - weak);
    let expected = [
        (SdmiSettings::paper(), weight * slope * (image - text)),
        (SdmiSettings::released(), weight * (weak - strong)),
    ];
    for (settings, expected) in expected {
        let device = Device::flex().autodiff();
        let (uni_modal, labels) = inputs(&[(label, text, image)], &device);
        let UniModal { qt_logits, qv_logits, qt_pooled, qv_pooled, .. } = uni_modal;
        let (qt_logits, qv_logits) = (qt_logits.require_grad(), qv_logits.require_grad());
        let (qt_pooled, qv_pooled) = (qt_pooled.require_grad(), qv_pooled.require_grad());
        let uni_modal = UniModal {
            qt_logits: qt_logits.clone(),
            qv_logits: qv_logits.clone(),
            qt_pooled: qt_pooled.clone(),
            qv_pooled: qv_pooled.clone(),
            present: None,
        };
        let found = sdmi_losses(vector([0.3], &device), Some(uni_modal), labels, settings).uni_modal.unwrap();
        let at = |logits: &Tensor<1>, gradients: &_| logits.grad(gradients).map_or(0.0, |g| scalar(&g));
        let gradients = found.kl.backward();
        assert_eq!(at(&qt_logits, &gradients), 0.0, "{settings:?}: text is the stronger modality");
        assert_near(at(&qv_logits, &gradients), expected, "the weaker modality's logit");

        let gradients = found.rs.backward();
        assert_eq!((at(&qt_logits, &gradients), at(&qv_logits, &gradients)), (0.0, 0.0), "the weight is a constant");
        let values =
            |pooled: &Tensor<2>| -> Vec<f32> { pooled.grad(&gradients).unwrap().into_data().iter::<f32>().collect() };
        let (text_side, image_side) = (values(&qt_pooled), values(&qv_pooled));
        for (column, (t, v)) in text_vector(0).iter().zip(image_vector(0)).enumerate() {
            let expected = weight * 2.0 * (t - v) / HIDDEN as f64;
            assert_near(f64::from(text_side[column]), expected, "pooled vector of the text side");
            assert_near(f64::from(image_side[column]), -expected, "pooled vector of the image side");
        }
    }
}

#[test]
fn settings_are_keys_of_a_run_file() {
    let settings: SdmiSettings =
        toml::from_str("kl_direction = \"strong_from_weak\"\naverage = \"per_direction\"\n").unwrap();
    assert_eq!(settings, SdmiSettings::released());
    assert_eq!(toml::from_str::<SdmiSettings>("").unwrap(), SdmiSettings::paper());
    assert!(toml::from_str::<SdmiSettings>("adaptive = false").is_err());
}
