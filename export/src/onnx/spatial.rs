//! Operations over the axes after batch and channels.

use super::emit::{Emitter, float_attribute, int_attribute, ints_attribute};
use super::proto::{AttributeProto, attribute_type};
use crate::dims::Dim;
use crate::graph::{DType, Interpolation, Node, Op, Padding, Pool, Window};

impl Emitter<'_> {
    pub(super) fn spatial(&mut self, node: &Node, inputs: Vec<String>, output: String) {
        match &node.op {
            Op::Conv { window, groups } => {
                let mut attributes = moves(window);
                attributes.insert(1, int_attribute("group", *groups as i64));
                self.push("Conv", &node.name, inputs, output, attributes);
            }
            Op::ConvTranspose { window, output_pads, groups } => {
                let mut attributes = moves(window);
                attributes.insert(1, int_attribute("group", *groups as i64));
                attributes.push(ints_attribute("output_padding", ints(output_pads)));
                self.push("ConvTranspose", &node.name, inputs, output, attributes);
            }
            Op::Pool { kind, window, ceil } => {
                let mut attributes = moves(window);
                attributes.push(ints_attribute("kernel_shape", ints(&window.kernel)));
                attributes.push(int_attribute("ceil_mode", i64::from(*ceil)));
                let op_type = match kind {
                    Pool::Max => "MaxPool",
                    Pool::Mean { pads_count } => {
                        // Opset 17 has no dilations of a mean; Burn has none either.
                        attributes.retain(|attribute| attribute.name != "dilations");
                        attributes.push(int_attribute("count_include_pad", i64::from(*pads_count)));
                        "AveragePool"
                    }
                };
                self.push(op_type, &node.name, inputs, output, attributes);
            }
            Op::Resize { mode, align_corners, size } => {
                let attributes = resize_attributes(*mode, *align_corners);
                let input = inputs[0].clone();
                let operands = match self.factors(node, size) {
                    Some(factors) => vec![input, String::new(), factors],
                    None => {
                        let shape = self.graph.shape(node.output).to_vec();
                        vec![input, String::new(), String::new(), self.sizes(&node.name, &shape)]
                    }
                };
                self.push("Resize", &node.name, operands, output, attributes);
            }
            Op::Pad { pads, padding } => {
                let ends: Vec<Dim> =
                    pads.iter().map(|p| p.before.clone()).chain(pads.iter().map(|p| p.after.clone())).collect();
                let ends = self.sizes(&format!("{}.pads", node.name), &ends);
                let mut operands = vec![inputs[0].clone(), ends];
                let mode = match padding {
                    Padding::Constant(value) => {
                        operands.push(match self.graph.value(node.output).dtype {
                            DType::I64 => self.int(*value as i64),
                            dtype => self.float(*value, dtype),
                        });
                        "constant"
                    }
                    Padding::Edge => "edge",
                    Padding::Reflect => "reflect",
                };
                self.push("Pad", &node.name, operands, output, vec![string_attribute("mode", mode)]);
            }
            Op::BatchNorm { epsilon } => {
                let attributes = vec![float_attribute("epsilon", *epsilon)];
                self.push("BatchNormalization", &node.name, inputs, output, attributes);
            }
            _ => {}
        }
    }

    /// The factors of the axes as a constant, where the extents are whole multiples or fixed. tract takes no sizes beside a
    /// named batch.
    fn factors(&mut self, node: &Node, size: &[Dim]) -> Option<String> {
        let before = self.graph.shape(node.inputs[0]).get(2..)?;
        let factors = before.iter().zip(size).map(|(from, to)| factor(from, to)).collect::<Option<Vec<f32>>>()?;
        let all: Vec<f32> = [1.0, 1.0].into_iter().chain(factors).collect();
        let name: Vec<String> = all.iter().map(f32::to_string).collect();
        let bytes = all.iter().flat_map(|factor| factor.to_le_bytes()).collect();
        Some(self.constant(format!("factors.{}", name.join("_")), DType::F32, vec![all.len()], bytes))
    }
}

/// The number by which engines multiply `from` to get `to`, rounding down.
fn factor(from: &Dim, to: &Dim) -> Option<f32> {
    if let Some(whole) = (1..=64i64).find(|&n| (from * &Dim::from(n)).as_ref() == Some(to)) {
        return Some(whole as f32);
    }
    let (from, to) = (from.fixed()? as f64, to.fixed()? as f64);
    let factor = (to / from) as f32;
    Some(if from * f64::from(factor) < to { factor.next_up() } else { factor })
}

fn ints(values: &[usize]) -> Vec<i64> {
    values.iter().map(|&value| value as i64).collect()
}

/// How a window moves, as attributes.
fn moves(window: &Window) -> Vec<AttributeProto> {
    let pads = window.pads.iter().map(|pad| pad.0).chain(window.pads.iter().map(|pad| pad.1));
    vec![
        ints_attribute("dilations", ints(&window.dilations)),
        ints_attribute("pads", ints(&pads.collect::<Vec<_>>())),
        ints_attribute("strides", ints(&window.strides)),
    ]
}

fn resize_attributes(mode: Interpolation, align_corners: bool) -> Vec<AttributeProto> {
    let mut attributes = vec![string_attribute(
        "coordinate_transformation_mode",
        match (mode, align_corners) {
            (Interpolation::Nearest, _) => "asymmetric",
            (_, true) => "align_corners",
            (_, false) => "half_pixel",
        },
    )];
    match mode {
        Interpolation::Nearest => {
            attributes.push(string_attribute("mode", "nearest"));
            attributes.push(string_attribute("nearest_mode", "floor"));
        }
        Interpolation::Linear => attributes.push(string_attribute("mode", "linear")),
        Interpolation::Cubic => {
            attributes.push(float_attribute("cubic_coeff_a", -0.75));
            attributes.push(string_attribute("mode", "cubic"));
        }
    }
    attributes
}

fn string_attribute(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        s: Some(value.as_bytes().to_vec()),
        r#type: attribute_type::STRING,
        ..Default::default()
    }
}
