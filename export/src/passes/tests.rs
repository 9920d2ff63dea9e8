//! Every pass by itself: the graph before and after it as a snapshot, and both computed by tract on the same inputs.

use mbsd_runtime::engine::{self, EngineKind, EngineOptions, SessionOptions};
use mbsd_spec::{NamedTensors, Tensor};

use super::*;
use crate::dims::Dim;
use crate::graph::{Binary, DType, Node, Op, SliceRange, Unary, ValueId, Weight, Window};

/// How far the results may differ: sums in another order.
const TOLERANCE: f32 = 1e-5;

/// A graph over the sizes `batch` and `text`, made by hand.
struct Draft {
    graph: Graph,
}

fn fixed(shape: &[usize]) -> Vec<Dim> {
    shape.iter().map(|&extent| Dim::from(extent)).collect()
}

fn batch() -> Dim {
    Dim::symbol(0)
}

fn text() -> Dim {
    Dim::symbol(1)
}

impl Draft {
    fn new() -> Self {
        Self { graph: Graph::over(vec!["batch".into(), "text".into()]) }
    }

    fn input(&mut self, name: &str, shape: Vec<Dim>) -> ValueId {
        let id = self.graph.add_value(DType::F32, shape);
        self.graph.inputs.push((name.into(), id));
        id
    }

    /// A parameter; its elements follow from its name.
    fn weight(&mut self, name: &str, shape: &[usize]) -> ValueId {
        let (seed, count) = (name.bytes().map(u64::from).sum(), shape.iter().product());
        let bytes = move || noise(count, seed).into_iter().map(|v| v + 1.5).flat_map(f32::to_le_bytes).collect();
        self.graph.add_weight(Weight::deferred(name, DType::F32, shape.to_vec(), bytes))
    }

    fn number(&mut self, value: f32) -> ValueId {
        self.graph.add_weight(Weight::inline("number", DType::F32, vec![], value.to_le_bytes().to_vec()))
    }

    fn op(&mut self, op: Op, inputs: &[ValueId], shape: Vec<Dim>) -> ValueId {
        let output = self.graph.add_value(DType::F32, shape);
        self.graph.nodes.push(Node { name: String::new(), op, inputs: inputs.to_vec(), output });
        output
    }

    fn reshape(&mut self, x: ValueId, shape: Vec<Dim>) -> ValueId {
        self.op(Op::Reshape { shape: shape.clone() }, &[x], shape)
    }

    fn output(mut self, id: ValueId) -> Graph {
        self.graph.outputs.push(("y".into(), id));
        self.graph
    }
}

/// Reproducible values in [-1, 1).
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The outputs of a named graph at batch 2 and text 3, computed by tract.
fn computed(graph: &Graph) -> NamedTensors {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.onnx");
    crate::onnx::write(graph, &path, &Default::default()).unwrap();
    let inputs = graph.inputs.iter().map(|(name, id)| {
        let shape: Vec<usize> = graph.shape(*id).iter().map(|dim| dim.eval(&[2, 3]) as usize).collect();
        let count = shape.iter().product();
        (name.clone(), Tensor::f32(shape, noise(count, 5)).unwrap())
    });
    let engine = engine::open(EngineKind::Tract, &EngineOptions::default()).unwrap();
    engine.load(&path, &SessionOptions::default()).unwrap().run(&inputs.collect()).unwrap()
}

/// Runs a pass and removes what it leaves without use; gives the text of both graphs.
fn before_and_after(mut graph: Graph, pass: impl Fn(&mut Graph)) -> String {
    let mut named = graph.clone();
    compact(&mut named);
    name_nodes(&mut named);
    let before = computed(&named);
    pass(&mut graph);
    compact(&mut graph);
    name_nodes(&mut graph);
    let after = computed(&graph);
    for (name, expected) in &before {
        assert_eq!(after[name].shape(), expected.shape(), "{name}");
        for (a, b) in expected.as_f32().unwrap().iter().zip(after[name].as_f32().unwrap()) {
            assert!((a - b).abs() <= TOLERANCE * a.abs().max(1.0), "`{name}`: {a} before, {b} after\n{graph}");
        }
    }
    format!("before\n\n{named}\nafter\n\n{graph}")
}

#[test]
fn restore_linear_takes_the_flattening_off_a_product() {
    let mut draft = Draft::new();
    let x = draft.input("x", vec![batch(), text(), Dim::from(4usize)]);
    let (w, b) = (draft.weight("layer.weight", &[4, 6]), draft.weight("layer.bias", &[6]));
    let rows = (&batch() * &text()).unwrap();
    let flat = draft.reshape(x, vec![rows.clone(), Dim::from(4usize)]);
    let product = draft.op(Op::MatMul, &[flat, w], vec![rows.clone(), Dim::from(6usize)]);
    let sum = draft.op(Op::Binary(Binary::Add), &[product, b], vec![rows, Dim::from(6usize)]);
    let y = draft.reshape(sum, vec![batch(), text(), Dim::from(6usize)]);
    insta::assert_snapshot!("restore_linear", before_and_after(draft.output(y), restore_linear));
}

#[test]
fn fold_reshapes_reshapes_weights() {
    let mut draft = Draft::new();
    let x = draft.input("x", vec![batch(), Dim::from(4usize)]);
    let (w, b) = (draft.weight("layer.weight", &[4, 6]), draft.weight("layer.bias", &[6]));
    let turned = draft.reshape(b, fixed(&[1, 6]));
    let product = draft.op(Op::MatMul, &[x, w], vec![batch(), Dim::from(6usize)]);
    let y = draft.op(Op::Binary(Binary::Add), &[product, turned], vec![batch(), Dim::from(6usize)]);
    insta::assert_snapshot!("fold_reshapes", before_and_after(draft.output(y), fold_reshapes));
}

#[test]
fn fold_slices_slices_weights() {
    let mut draft = Draft::new();
    let x = draft.input("x", vec![batch(), Dim::from(3usize), Dim::from(4usize)]);
    let table = draft.weight("positions.weight", &[9, 4]);
    let range = |axis, end: usize| SliceRange { axis, start: Dim::from(0usize), end: Dim::from(end), step: 1 };
    let rows = draft.op(Op::Slice { ranges: vec![range(0, 3), range(1, 4)] }, &[table], fixed(&[3, 4]));
    let shape = vec![batch(), Dim::from(3usize), Dim::from(4usize)];
    let y = draft.op(Op::Binary(Binary::Add), &[x, rows], shape);
    insta::assert_snapshot!("fold_slices", before_and_after(draft.output(y), fold_slices));
}

#[test]
fn fold_ranges_counts_what_is_fixed_and_leaves_what_is_not() {
    let mut draft = Draft::new();
    let x = draft.input("x", vec![text(), Dim::from(3usize)]);
    let mut sum = x;
    for (end, shape) in [(Dim::from(3usize), fixed(&[3])), (text(), vec![text(), Dim::from(1usize)])] {
        let length = shape[0].clone();
        let range = draft.op(Op::Range { start: Dim::from(0usize), end, step: 1 }, &[], vec![length]);
        draft.graph.value_mut(range).dtype = DType::I64;
        let column = draft.op(Op::Reshape { shape: shape.clone() }, &[range], shape.clone());
        draft.graph.value_mut(column).dtype = DType::I64;
        let floats = draft.op(Op::Cast, &[column], shape);
        sum = draft.op(Op::Binary(Binary::Add), &[sum, floats], vec![text(), Dim::from(3usize)]);
    }
    insta::assert_snapshot!("fold_ranges", before_and_after(draft.output(sum), fold_ranges));
}

#[test]
fn fold_batch_norm_goes_into_the_convolution_before() {
    let image = |side: usize| vec![batch(), Dim::from(3usize), Dim::from(side), Dim::from(side)];
    let conv = |draft: &mut Draft, x, name: &str, bias: bool| {
        let window = Window { kernel: vec![2, 2], strides: vec![1, 1], pads: vec![(0, 0); 2], dilations: vec![1, 1] };
        let mut operands = vec![x, draft.weight(&format!("{name}.weight"), &[3, 3, 2, 2])];
        if bias {
            operands.push(draft.weight(&format!("{name}.bias"), &[3]));
        }
        let side = draft.graph.shape(x)[2].fixed().unwrap() as usize - 1;
        draft.op(Op::Conv { window, groups: 1 }, &operands, image(side))
    };
    let norm = |draft: &mut Draft, x, name: &str| {
        let mut operands = vec![x];
        operands.extend(
            ["gamma", "beta", "running_mean", "running_var"]
                .map(|field| draft.weight(&format!("{name}.{field}"), &[3])),
        );
        let shape = draft.graph.shape(x).to_vec();
        draft.op(Op::BatchNorm { epsilon: 1e-5 }, &operands, shape)
    };
    let mut draft = Draft::new();
    let x = draft.input("x", image(6));
    let a = conv(&mut draft, x, "stem.conv", false);
    let a = norm(&mut draft, a, "stem.norm");
    let b = conv(&mut draft, a, "body.conv", true);
    let b = norm(&mut draft, b, "body.norm");
    // A convolution with a second reader keeps its values, and so does what is no convolution.
    let c = conv(&mut draft, b, "head.conv", true);
    let d = norm(&mut draft, c, "head.norm");
    let sum = draft.op(Op::Binary(Binary::Add), &[c, d], image(3));
    let y = norm(&mut draft, sum, "norm");
    insta::assert_snapshot!("fold_batch_norm", before_and_after(draft.output(y), fold_batch_norm));
}

#[test]
fn simplify_removes_what_changes_nothing() {
    let mut draft = Draft::new();
    let (batch, four) = (batch(), Dim::from(4usize));
    let x = draft.input("x", vec![batch.clone(), four.clone()]);
    let turned = draft.op(Op::Transpose { perm: vec![1, 0] }, &[x], vec![four.clone(), batch.clone()]);
    let back = draft.op(Op::Transpose { perm: vec![1, 0] }, &[turned], vec![batch.clone(), four.clone()]);
    let cast = draft.op(Op::Cast, &[back], vec![batch.clone(), four.clone()]);
    let whole = SliceRange { axis: 1, start: Dim::from(0usize), end: four.clone(), step: 1 };
    let all = draft.op(Op::Slice { ranges: vec![whole] }, &[cast], vec![batch.clone(), four.clone()]);
    let same = draft.op(Op::Expand { shape: vec![batch.clone(), four.clone()] }, &[all], vec![batch.clone(), four]);
    let line = draft.reshape(same, vec![(&batch * &Dim::from(4usize)).unwrap()]);
    let y = draft.reshape(line, vec![(&batch * &Dim::from(2usize)).unwrap(), Dim::from(2usize)]);
    let twice = |graph: &mut Graph| {
        simplify(graph);
        simplify(graph);
    };
    insta::assert_snapshot!("simplify", before_and_after(draft.output(y), twice));
}

#[test]
fn share_nodes_computes_equal_nodes_once() {
    let mut draft = Draft::new();
    let x = draft.input("x", vec![batch(), Dim::from(4usize)]);
    let shape = || vec![batch(), Dim::from(4usize)];
    let halves = [0, 1].map(|turn| {
        let half = draft.number(0.5);
        let operands = if turn == 0 { [x, half] } else { [half, x] };
        let scaled = draft.op(Op::Binary(Binary::Mul), &operands, shape());
        draft.op(Op::Unary(Unary::Exp), &[scaled], shape())
    });
    let y = draft.op(Op::Binary(Binary::Add), &halves, shape());
    let pass = |graph: &mut Graph| share_nodes(graph);
    insta::assert_snapshot!("share_nodes", before_and_after(draft.output(y), pass));
}

#[test]
fn share_weights_keeps_equal_weights_once() {
    let mut draft = Draft::new();
    let x = draft.input("x", vec![batch(), Dim::from(4usize)]);
    // Equal sums of letters give equal elements: tied weights under two names.
    let weights = ["tied.ab", "tied.ba", "other.aa"].map(|name| draft.weight(name, &[4]));
    let shape = || vec![batch(), Dim::from(4usize)];
    let y = weights.iter().fold(x, |sum, &w| draft.op(Op::Binary(Binary::Add), &[sum, w], shape()));
    insta::assert_snapshot!("share_weights", before_and_after(draft.output(y), share_weights));
}

#[test]
fn remove_dead_keeps_what_an_output_needs_and_every_input() {
    let mut draft = Draft::new();
    let x = draft.input("x", vec![batch(), Dim::from(4usize)]);
    let z = draft.input("z", vec![batch(), Dim::from(4usize)]);
    let (used, unused) = (draft.weight("used.bias", &[4]), draft.weight("unused.bias", &[4]));
    let shape = || vec![batch(), Dim::from(4usize)];
    let dead = draft.op(Op::Binary(Binary::Add), &[z, unused], shape());
    draft.op(Op::Unary(Unary::Exp), &[dead], shape());
    let y = draft.op(Op::Binary(Binary::Add), &[x, used], shape());
    let mut graph = draft.output(y);
    let mut named = graph.clone();
    name_nodes(&mut named);
    let before = named.to_string();
    remove_dead(&mut graph);
    name_nodes(&mut graph);
    let (found, expected) = (computed(&graph), computed(&named));
    assert_eq!(found["y"].as_f32().unwrap(), expected["y"].as_f32().unwrap());
    insta::assert_snapshot!("remove_dead", format!("before\n\n{before}\nafter\n\n{graph}"));
}

#[test]
fn name_nodes_names_after_modules() {
    let mut draft = Draft::new();
    let x = draft.input("x", vec![batch(), text(), Dim::from(4usize)]);
    let wide = || vec![batch(), text(), Dim::from(4usize)];
    let mut sums = Vec::new();
    for part in ["query", "key"] {
        let (w, b) = (
            draft.weight(&format!("attention.{part}.weight"), &[4, 4]),
            draft.weight(&format!("attention.{part}.bias"), &[4]),
        );
        let product = draft.op(Op::MatMul, &[x, w], wide());
        sums.push(draft.op(Op::Binary(Binary::Add), &[product, b], wide()));
    }
    let turned = draft.op(Op::Transpose { perm: vec![0, 2, 1] }, &[sums[1]], vec![batch(), Dim::from(4usize), text()]);
    let scores = draft.op(Op::MatMul, &[sums[0], turned], vec![batch(), text(), text()]);
    let scale = draft.number(0.5);
    let scaled = draft.op(Op::Binary(Binary::Mul), &[scores, scale], vec![batch(), text(), text()]);
    let weights = draft.op(Op::Softmax { axis: 2 }, &[scaled], vec![batch(), text(), text()]);
    let context = draft.op(Op::MatMul, &[weights, x], wide());
    let (w, b) = (draft.weight("attention.output.weight", &[4, 4]), draft.weight("attention.output.bias", &[4]));
    let product = draft.op(Op::MatMul, &[context, w], wide());
    let y = draft.op(Op::Binary(Binary::Add), &[product, b], wide());
    let mut graph = draft.output(y);
    name_nodes(&mut graph);
    insta::assert_snapshot!("name_nodes", graph.to_string());
}
