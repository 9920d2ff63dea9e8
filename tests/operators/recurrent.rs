//! Recurrent layers over a fixed number of steps: Burn records one step after the other.

use burn::nn::gru::{BiGruConfig, GruConfig};
use burn::nn::{BiLstmConfig, LstmConfig};
use burn::tensor::{Device, Tensor};
use mbsd_export::{Compiler, Output};

use crate::case::{Case, In, run};

#[test]
fn recurrent_layers() {
    let device = Device::flex();
    run(vec![
        Case::steps("gru", GruConfig::new(3, 4, true).init(&device), |gru, x: Tensor<3>| gru.forward(x, None)),
        Case::steps(
            "gru that resets before, in two directions",
            BiGruConfig::new(3, 4, true).with_reset_after(false).init(&device),
            |gru, x: Tensor<3>| gru.forward(x, None).0,
        ),
        Case::steps("lstm", LstmConfig::new(3, 4, true).init(&device), |lstm, x: Tensor<3>| lstm.forward(x, None).0),
        Case::steps("lstm in two directions", BiLstmConfig::new(3, 4, true).init(&device), |lstm, x: Tensor<3>| {
            lstm.forward(x, None).0
        }),
        Case::new(
            "gru from a given state",
            &[In::Float("x", "batch 2 3"), In::Float("state", "batch 4")],
            "*",
            GruConfig::new(3, 4, true).init(&device),
            |gru, inputs| vec![Output::new("y", gru.forward(inputs.float::<3>("x"), Some(inputs.float::<2>("state"))))],
        ),
    ]);
}

/// Assignments of the steps become one concatenation of them.
#[test]
fn a_recurrent_layer_ends_in_one_concatenation() {
    let gru = GruConfig::new(3, 4, true).init(&Device::flex());
    let graph = Compiler::new()
        .float("x", ["batch".into(), 5.into(), 3.into()])
        .compile(&gru, |gru, inputs| vec![Output::new("y", gru.forward(inputs.float::<3>("x"), None))])
        .unwrap();
    let count = |label: &str| graph.nodes.iter().filter(|node| node.op.label() == label).count();
    assert_eq!((count("concat"), count("slice"), count("matmul")), (1, 5, 5 * 6), "{graph}");
}

#[test]
fn a_recurrent_layer_over_a_named_number_of_steps_is_refused_with_a_way_out() {
    let gru = GruConfig::new(3, 4, true).init(&Device::flex());
    let error = Compiler::new()
        .float("x", ["batch".into(), "steps".into(), 3.into()])
        .compile(&gru, |gru, inputs| vec![Output::new("y", gru.forward(inputs.float::<3>("x"), None))])
        .unwrap_err();
    assert!(error.to_string().contains("give a size that is looped over"), "{error}");
}
