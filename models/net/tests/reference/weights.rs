//! Reading and writing the released model's weights.

use burn::tensor::Device;
use mbsd_net::weights::{WeightsFile, head_in, visit_parameters};
use mbsd_net::{Head, Mbsd, WeightsError, load, load_encoder, load_pretraining, save};
use mbsd_spec::{Config, Task};

use crate::case::{Case, config, values};

/// A file's tensors, changed and written again.
fn rewritten(case: &Case, rename: impl Fn(&str) -> Option<String>) -> tempfile::NamedTempFile {
    let file = WeightsFile::open(case.weights()).unwrap();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = file
        .names()
        .into_iter()
        .filter_map(|name| {
            let bytes = file.read(&name).unwrap().unwrap().iter().flat_map(|v| v.to_le_bytes()).collect();
            Some((rename(&name)?, file.shape(&name).unwrap().to_vec(), bytes))
        })
        .collect();
    let views: Vec<_> = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap();
            (name.clone(), view)
        })
        .collect();
    let target = tempfile::NamedTempFile::new().unwrap();
    safetensors::serialize_to_file(views, None, target.path()).unwrap();
    target
}

#[test]
fn reference_weights_are_written_as_they_were_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, task) in
        [("match", Task::Match), ("classification", Task::Classification), ("alignment", Task::Alignment)]
    {
        let case = Case::open(name);
        let model = case.model(task);
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        save(&model, &first).unwrap();
        save(&load(&first, &config(), None, &Device::flex()).unwrap().0, &second).unwrap();
        assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap(), "{name}: same weights, same bytes");
        let (original, written) = (WeightsFile::open(case.weights()).unwrap(), WeightsFile::open(&first).unwrap());
        assert_eq!(original.names().len(), written.names().len(), "{name}");
        for tensor in original.names() {
            assert_eq!(original.shape(&tensor), written.shape(&tensor), "{name}: {tensor}");
            assert_eq!(original.read(&tensor).unwrap(), written.read(&tensor).unwrap(), "{name}: {tensor}");
        }
    }
}

fn stage1_model() -> Mbsd {
    let device = Device::flex();
    Mbsd::init(&config(), Head::Match, &device).with_reconstruction(&config(), 0.02, &device)
}

const POOLER: [&str; 2] = ["bert.pooler.dense.weight", "bert.pooler.dense.bias"];
const DECODER: &str = "cls.predictions.decoder.weight";

#[test]
fn reference_stage1_checkpoints_are_written_as_they_were_read() {
    let case = Case::open("stage1");
    let original = WeightsFile::open(case.weights()).unwrap();
    let (model, report) = load_pretraining(stage1_model(), case.weights()).unwrap();
    assert!(report.unexpected.is_empty(), "{report:?}");
    assert_eq!(report.missing, [&POOLER[..], &["classifier.weight", "classifier.bias"]].concat());
    let file = tempfile::NamedTempFile::new().unwrap();
    save(&model, file.path()).unwrap();
    let written = WeightsFile::open(file.path()).unwrap();
    let mut names = written.names();
    names.retain(|name| !POOLER.contains(&name.as_str()));
    names.sort();
    let mut expected = original.names();
    expected.sort();
    assert_eq!(names, expected, "the pooler comes on top, the untrained head stays out");
    for tensor in expected {
        assert_eq!(original.shape(&tensor), written.shape(&tensor), "{tensor}");
        assert_eq!(original.read(&tensor).unwrap(), written.read(&tensor).unwrap(), "{tensor}");
    }
    let error = load(file.path(), &config(), None, &Device::flex()).unwrap_err();
    assert!(matches!(error, WeightsError::NoHead { .. }), "{error}");
}

#[test]
fn reference_stage1_checkpoints_start_stage_2() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (stage1, _) = load_pretraining(stage1_model(), Case::open("stage1").weights()).unwrap();
    save(&stage1, file.path()).unwrap();
    let fresh = Mbsd::init(&config(), Head::Match, &Device::flex());
    let (model, report) = load_encoder(fresh, file.path()).unwrap();
    assert_eq!(report.missing, ["classifier.weight", "classifier.bias"]);
    let unused = |name: &String| name.starts_with("cls.") || name == "bert.img_embeddings.mask_token";
    assert!(report.unexpected.len() == 9 && report.unexpected.iter().all(unused), "{:?}", report.unexpected);
    assert_eq!(values(model.pooler.dense.weight.val()), values(stage1.pooler.dense.weight.val()));
    assert_eq!(values(model.image.cls.val()), values(stage1.image.cls.val()));
}

#[test]
fn reference_bert_text_head_starts_stage_1() {
    let case = Case::open("stage1");
    let bert = |name: &str| {
        let parts = ["bert.embeddings.", "bert.encoder.", "cls.predictions."];
        parts.iter().any(|part| name.starts_with(part)).then(|| name.to_owned())
    };
    let (model, report) = load_encoder(stage1_model(), rewritten(&case, bert).path()).unwrap();
    assert!(report.unexpected.is_empty(), "{report:?}");
    assert!(report.missing.contains(&"cls.img_decoder.0.weight".to_owned()), "{report:?}");
    let expected = WeightsFile::open(case.weights()).unwrap().read("cls.predictions.bias").unwrap().unwrap();
    assert_eq!(values(model.reconstruction.unwrap().bias.val()), expected);
}

#[test]
fn reference_stage1_weights_that_do_not_fit_are_named() {
    let case = Case::open("stage1");
    let error = load_pretraining(stage1_model(), Case::open("match").weights()).unwrap_err();
    assert!(matches!(error, WeightsError::NoReconstruction { .. }), "{error}");
    let lacking = rewritten(&case, |name| (name != "cls.img_decoder.0.weight").then(|| name.to_owned()));
    let error = load_pretraining(stage1_model(), lacking.path()).unwrap_err().to_string();
    assert!(error.contains("`cls.img_decoder.0.weight`"), "{error}");
}

#[test]
fn reference_stage1_map_to_the_vocabulary_is_the_word_vectors() {
    let case = Case::open("stage1");
    let without = rewritten(&case, |name| (name != DECODER).then(|| name.to_owned()));
    let (_, report) = load_pretraining(stage1_model(), without.path()).unwrap();
    assert!(report.unexpected.is_empty(), "a file need not repeat the table: {report:?}");
    let of_its_own = rewritten(&case, |name| match name {
        DECODER => None,
        "cls.img_decoder.0.bias" => Some(DECODER.to_owned()),
        name => Some(name.to_owned()),
    });
    let (_, report) = load_encoder(stage1_model(), of_its_own.path()).unwrap();
    assert_eq!(report.unexpected, [DECODER], "other values are not taken silently");
}

#[test]
fn reference_head_and_class_count_come_from_the_weights() {
    let open = |name| WeightsFile::open(Case::open(name).weights()).unwrap();
    assert_eq!(head_in(&open("match"), &config()).unwrap(), Head::Match);
    assert_eq!(head_in(&open("alignment"), &config()).unwrap(), Head::Alignment);
    let classes =
        Case::open("classification").floats("full.logits").len() / Case::open("classification").floats("labels").len();
    assert_eq!(head_in(&open("classification"), &config()).unwrap(), Head::Classification { classes });
    let error = load(Case::open("match").weights(), &config(), Some(Task::Alignment), &Device::flex()).unwrap_err();
    assert!(matches!(error, WeightsError::OtherTask { wanted: Task::Alignment, found: Task::Match, .. }), "{error}");
    let error = head_in(&open("stage1"), &config()).unwrap_err();
    assert!(matches!(error, WeightsError::NoHead { .. }), "{error}");
}

#[test]
fn reference_bert_checkpoints_start_the_encoder_only() {
    let case = Case::open("stage1");
    let is_bert = |name: &str| {
        ["bert.embeddings.", "bert.encoder.", "bert.pooler.", "cls.predictions."]
            .iter()
            .any(|part| name.starts_with(part))
    };
    let old_names = |name: &str| {
        let name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        is_bert(&name).then_some(name)
    };
    let without_prefix = |name: &str| is_bert(name).then(|| name.trim_start_matches("bert.").to_owned());
    let device = Device::flex();
    let expected = WeightsFile::open(case.weights()).unwrap();
    for file in [rewritten(&case, old_names), rewritten(&case, without_prefix)] {
        let (model, report) = load_encoder(Mbsd::init(&config(), Head::Match, &device), file.path()).unwrap();
        assert!(report.unexpected.iter().all(|name| name.starts_with("cls.predictions.")), "{report:?}");
        assert!(!report.unexpected.is_empty());
        assert!(report.missing.contains(&"classifier.weight".to_owned()), "{report:?}");
        assert!(report.missing.contains(&"bert.img_embeddings.cls_token".to_owned()), "{report:?}");
        assert_eq!(report.loaded.len() + report.missing.len(), visit_parameters(&model).len());
        let other = Case::open("match");
        let (_, report) = load_encoder(Mbsd::init(&config(), Head::Match, &device), other.weights()).unwrap();
        assert_eq!(
            report.missing,
            ["classifier.weight", "classifier.bias"],
            "the image side comes along, the head stays"
        );
        let gamma = values(model.encoder.layer[0].norm.gamma.val());
        assert_eq!(gamma, expected.read("bert.encoder.layer.0.output.LayerNorm.weight").unwrap().unwrap());
    }
}

#[test]
fn reference_weights_that_do_not_fit_are_named() {
    let case = Case::open("match");
    let device = Device::flex();
    let wider = Config { intermediate_size: config().intermediate_size * 2, ..config() };
    let error = load(case.weights(), &wider, None, &device).unwrap_err().to_string();
    let (hidden, inner) = (config().hidden_size, config().intermediate_size);
    assert!(error.contains("`bert.encoder.layer.0.intermediate.dense.weight`"), "{error}");
    assert!(
        error.contains(&format!("[{inner}, {hidden}]")) && error.contains(&format!("[{}, {hidden}]", 2 * inner)),
        "{error}"
    );

    let shallow = Config { num_hidden_layers: config().num_hidden_layers - 1, ..config() };
    let error = load(case.weights(), &shallow, None, &device).unwrap_err().to_string();
    assert!(error.contains("`bert.encoder.layer.") && error.contains("a layer more than the model"), "{error}");

    let lacking = rewritten(&case, |name| (name != "bert.pooler.dense.bias").then(|| name.to_owned()));
    let error = load(lacking.path(), &config(), None, &device).unwrap_err().to_string();
    assert!(error.contains("`bert.pooler.dense.bias`") && error.contains(&format!("[{hidden}]")), "{error}");

    let bytes = std::fs::read(case.weights()).unwrap();
    let cut = tempfile::NamedTempFile::new().unwrap();
    for length in [0, 4, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(cut.path(), &bytes[..length]).unwrap();
        let error = load(cut.path(), &config(), None, &device).unwrap_err();
        assert!(matches!(error, WeightsError::Format { .. }), "{length} bytes: {error}");
    }
}
