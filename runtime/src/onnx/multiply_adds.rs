//! How much a graph multiplies and adds: its matrix products and convolutions, counted from their shapes.

use std::collections::{BTreeMap, BTreeSet};

use mbsd_spec::bundle::DimSpec;

use super::{Graph, Node};
use crate::onnx::Polynomial;

/// Multiply-adds of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultiplyAdds {
    /// Over the graph's named sizes.
    pub total: Polynomial,
    /// Operators that multiply matrices but could not be counted, for want of a shape or of a rule.
    pub uncounted: BTreeSet<String>,
}

/// Operators of vendors that hold matrix products, for which there is no rule here.
const WITHOUT_RULE: [&str; 8] = [
    "Attention",
    "com.microsoft:Attention",
    "com.microsoft:FusedMatMul",
    "com.microsoft:GroupQueryAttention",
    "com.microsoft:MultiHeadAttention",
    "com.microsoft:QAttention",
    "GRU",
    "LSTM",
];

type Shapes<'a> = BTreeMap<&'a str, Vec<Polynomial>>;

impl Graph {
    /// Counts the multiply-adds of matrix products and convolutions. What is known of shapes is what the file states, and
    /// what [`Graph::infer_shapes`] has added.
    pub fn multiply_adds(&self) -> MultiplyAdds {
        let mut shapes: Shapes<'_> = BTreeMap::new();
        for spec in self.between.iter().chain(&self.outputs).chain(&self.inputs) {
            if let Some(shape) = spec.shape.iter().map(extent).collect() {
                shapes.insert(&spec.name, shape);
            }
        }
        for constant in &self.initializers {
            let shape = constant.shape.iter().map(|&extent| Polynomial::number(i128::from(extent)));
            shapes.insert(&constant.name, shape.collect());
        }
        let mut counted = MultiplyAdds { total: Polynomial::default(), uncounted: BTreeSet::new() };
        for node in &self.nodes {
            match count(node, &shapes) {
                Rule::None => {}
                Rule::Counted(Some(count)) => counted.total = counted.total.plus(&count),
                Rule::Counted(None) => {
                    counted.uncounted.insert(node.op.clone());
                }
            }
        }
        counted
    }
}

enum Rule {
    /// The operator multiplies no matrices.
    None,
    /// It does; `None` if a shape it takes to count them is not known.
    Counted(Option<Polynomial>),
}

fn count(node: &Node, shapes: &Shapes<'_>) -> Rule {
    let input = |i: usize| node.inputs.get(i).and_then(|name| shapes.get(name.as_str()));
    let output = || node.outputs.first().and_then(|name| shapes.get(name.as_str()));
    let last = |shape: &Vec<Polynomial>| shape.last().cloned();
    // Each element of the result takes a product over the axis that goes.
    let product = |a: usize| Some(elements(output()?).times(&last(input(a)?)?));
    // Each element of the result takes a product with one kernel.
    let convolution = |w: usize| Some(elements(output()?).times(&elements(input(w)?.get(1..)?)));
    Rule::Counted(match node.op.as_str() {
        "MatMul" | "MatMulInteger" | "QLinearMatMul" => product(0),
        "com.microsoft:MatMulNBits" | "com.microsoft:DynamicQuantizeMatMul" | "com.microsoft:MatMulIntegerToFloat" => {
            product(0)
        }
        "Gemm" => gemm(node, input(0), output()),
        "Conv" | "ConvInteger" => convolution(1),
        "QLinearConv" => convolution(3),
        // Each element of the input meets one kernel.
        "ConvTranspose" => input(0).zip(input(1)).and_then(|(x, w)| Some(elements(x).times(&elements(w.get(1..)?)))),
        op if WITHOUT_RULE.contains(&op) => None,
        _ => return Rule::None,
    })
}

fn gemm(node: &Node, a: Option<&Vec<Polynomial>>, output: Option<&Vec<Polynomial>>) -> Option<Polynomial> {
    let turned = node.attributes.get("transA").is_some_and(|value| value != "0");
    let inner = if turned { a?.first() } else { a?.last() };
    Some(elements(output?).times(inner?))
}

fn elements(shape: &[Polynomial]) -> Polynomial {
    shape.iter().fold(Polynomial::number(1), |product, extent| product.times(extent))
}

fn extent(dim: &DimSpec) -> Option<Polynomial> {
    match dim {
        DimSpec::Fixed(extent) => Some(Polynomial::number(*extent as i128)),
        DimSpec::Symbol(symbol) => Polynomial::parse(symbol),
    }
}

#[cfg(test)]
mod tests {
    use mbsd_spec::bundle::TensorSpec;

    use super::*;
    use crate::onnx::Initializer;

    fn spec(name: &str, shape: &[&str]) -> TensorSpec {
        let dim = |text: &&str| text.parse().map_or_else(|_| DimSpec::Symbol((*text).to_owned()), DimSpec::Fixed);
        TensorSpec { name: name.to_owned(), dtype: "float32".to_owned(), shape: shape.iter().map(dim).collect() }
    }

    fn node(op: &str, inputs: &[&str], output: &str) -> Node {
        Node {
            name: output.to_owned(),
            op: op.to_owned(),
            inputs: inputs.iter().map(|&name| name.to_owned()).collect(),
            outputs: vec![output.to_owned()],
            attributes: BTreeMap::new(),
        }
    }

    fn graph(nodes: Vec<Node>, between: Vec<TensorSpec>) -> Graph {
        let weight = |name: &str, shape: &[i64]| Initializer {
            name: name.to_owned(),
            dtype: "float32".to_owned(),
            shape: shape.to_vec(),
            bytes: 0,
            external: None,
        };
        Graph {
            name: String::new(),
            producer: String::new(),
            ir_version: 8,
            opsets: BTreeMap::new(),
            inputs: vec![spec("x", &["batch", "text", "4"]), spec("pixels", &["batch", "3", "8", "8"])],
            outputs: vec![],
            nodes,
            initializers: vec![weight("w", &[4, 6]), weight("kernel", &[5, 3, 2, 2]), weight("back", &[5, 2, 2, 2])],
            between,
        }
    }

    #[test]
    fn products_and_convolutions_are_counted_and_nothing_else() {
        let nodes = vec![
            node("MatMul", &["x", "w"], "y"),
            node("MatMul", &["y", "yt"], "scores"),
            node("Conv", &["pixels", "kernel"], "features"),
            node("ConvTranspose", &["features", "back"], "up"),
            node("Add", &["y", "y"], "sum"),
        ];
        let between = vec![
            spec("y", &["batch", "text", "6"]),
            spec("yt", &["batch", "6", "text"]),
            spec("scores", &["batch", "text", "text"]),
            spec("features", &["batch", "5", "4", "4"]),
            spec("up", &["batch", "2", "8", "8"]),
        ];
        let counted = graph(nodes, between).multiply_adds();
        // 24 text from the weight, 6 text^2 of the scores; 80 x 12 of the convolution, 80 x 8 of its transpose.
        assert_eq!(counted.total.to_string(), "6*batch*text^2 + 24*batch*text + 1600*batch");
        assert!(counted.uncounted.is_empty());
    }

    #[test]
    fn what_cannot_be_counted_is_named() {
        let nodes = vec![
            node("MatMul", &["x", "w"], "y"),
            node("com.microsoft:MultiHeadAttention", &["x"], "z"),
            node("Relu", &["x"], "r"),
        ];
        let counted = graph(nodes, vec![]).multiply_adds();
        let uncounted: Vec<&str> = counted.uncounted.iter().map(String::as_str).collect();
        assert_eq!(uncounted, ["MatMul", "com.microsoft:MultiHeadAttention"]);
        assert_eq!(counted.total.to_string(), "0");
    }
}
