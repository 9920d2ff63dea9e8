//! Merges traces of the same forward at several sizes into one graph with symbolic extents.

use crate::boundary::{Extent, InputSpec};
use crate::dims::Dim;
use crate::error::ExportError;
use crate::graph::{Graph, Op};

/// One lowered trace and the sizes of the symbols it was recorded at.
pub(crate) struct Lowered {
    pub(crate) sizes: Vec<i64>,
    pub(crate) graph: Graph,
}

/// Solves every extent over the corners of the grid, then checks it against a further trace.
///
/// `traces[mask]` was recorded with symbol `i` at `corners[i][mask >> i & 1]`.
pub(crate) fn solve(
    symbols: &[String],
    corners: &[[i64; 2]],
    traces: &[Lowered],
    check: &Lowered,
    inputs: &[InputSpec],
) -> Result<Graph, ExportError> {
    let mut solved = traces[0].graph.clone();
    solved.symbols = symbols.to_vec();
    let all: Vec<&Lowered> = traces.iter().chain([check]).collect();
    for other in &all[1..] {
        same_structure(&all[0].graph, &other.graph)?;
    }
    let fit = |what: &dyn Fn() -> String, measured: &[i64]| -> Result<Dim, ExportError> {
        let (grid, checked) = measured.split_at(traces.len());
        match Dim::fit(corners, grid) {
            Some(dim) if dim.eval(&check.sizes) == checked[0] => Ok(dim),
            _ => Err(ExportError::Dimension {
                what: what(),
                measured: all
                    .iter()
                    .zip(measured)
                    .map(|(t, m)| {
                        let at: Vec<String> = symbols.iter().zip(&t.sizes).map(|(s, v)| format!("{s}={v}")).collect();
                        format!("{m} at {}", at.join(" "))
                    })
                    .collect::<Vec<_>>()
                    .join(", "),
                symbols: if symbols.is_empty() { "nothing".to_owned() } else { symbols.join(", ") },
            }),
        }
    };
    for value in 0..solved.value_count() {
        let id = crate::graph::ValueId(value);
        for axis in 0..solved.shape(id).len() {
            let measured: Vec<i64> =
                all.iter().map(|t| t.graph.shape(id)[axis].fixed().expect("a trace has numbers")).collect();
            let what = || format!("axis {axis} of {}", place(&traces[0].graph, id));
            solved.value_mut(id).shape[axis] = fit(&what, &measured)?;
        }
    }
    for index in 0..solved.nodes.len() {
        let mut ops: Vec<Op> = all.iter().map(|t| t.graph.nodes[index].op.clone()).collect();
        let mut per_trace: Vec<Vec<i64>> = ops
            .iter_mut()
            .map(|op| op.dims_mut().into_iter().map(|d| d.fixed().expect("a trace has numbers")).collect())
            .collect();
        let output = solved.nodes[index].output;
        for (position, dim) in solved.nodes[index].op.dims_mut().into_iter().enumerate() {
            let measured: Vec<i64> = per_trace.iter_mut().map(|t| t[position]).collect();
            let what = || format!("extent {position} inside {}", place(&traces[0].graph, output));
            *dim = fit(&what, &measured)?;
        }
    }
    check_inputs(&solved, inputs)?;
    Ok(solved)
}

/// What computes a value, and the parameter read last before it.
fn place(graph: &Graph, id: crate::graph::ValueId) -> String {
    let Some(index) = graph.nodes.iter().position(|node| node.output == id) else { return "an input".to_owned() };
    let parameter = |node: &crate::graph::Node| {
        node.inputs.iter().filter_map(|id| graph.weights.get(id)).find(|weight| !weight.is_inline())
    };
    let near = graph.nodes[..=index].iter().rev().find_map(parameter).map_or("none", |weight| weight.name.as_str());
    format!("the `{}` near parameter `{near}`", graph.nodes[index].op.label())
}

fn same_structure(a: &Graph, b: &Graph) -> Result<(), ExportError> {
    let differ = |what: String| Err(ExportError::Structure(what));
    if a.nodes.len() != b.nodes.len() {
        return differ(format!(
            "{} operations at one size, {} at another; give a size that is looped over, as the steps of a recurrent layer \
             are, a fixed extent",
            a.nodes.len(),
            b.nodes.len()
        ));
    }
    if a.value_count() != b.value_count() || a.weights.len() != b.weights.len() {
        return differ("other constants at other sizes".to_owned());
    }
    for (x, y) in a.nodes.iter().zip(&b.nodes) {
        if blank(&x.op) != blank(&y.op) || x.inputs != y.inputs {
            return differ(format!("{:?} at one size, {:?} at another", x.op, y.op));
        }
    }
    for (id, x) in &a.weights {
        let same = b
            .weights
            .get(id)
            .is_some_and(|y| x.shape == y.shape && x.dtype == y.dtype && (!x.is_inline() || x.bytes() == y.bytes()));
        if !same {
            return differ(format!("the constant {} has another value or shape at another size", x.name));
        }
    }
    Ok(())
}

/// The operation with every extent taken out.
fn blank(op: &Op) -> Op {
    let mut op = op.clone();
    for dim in op.dims_mut() {
        *dim = Dim::default();
    }
    op
}

fn check_inputs(graph: &Graph, inputs: &[InputSpec]) -> Result<(), ExportError> {
    for (input, (_, id)) in inputs.iter().zip(&graph.inputs) {
        for (extent, dim) in input.shape.iter().zip(graph.shape(*id)) {
            let fits = match extent {
                Extent::Fixed(n) => dim.fixed() == Some(*n as i64),
                Extent::Symbol { name, .. } => dim.as_symbol().is_some_and(|s| graph.symbols[s] == *name),
            };
            if !fits {
                return Err(ExportError::Boundary(format!("the shape of input `{}` was not solved", input.name)));
            }
        }
    }
    Ok(())
}
