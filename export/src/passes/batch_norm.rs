//! Normalization with fixed statistics is a factor and a shift for each channel: behind a convolution, both go into its
//! kernel and bias.

use crate::graph::{DType, Graph, Op, Weight};

/// Puts a `BatchNorm` that follows a convolution, and nothing else does, into the convolution. New kernels and biases are
/// computed when the graph is written.
pub fn fold_batch_norm(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        fold(graph, index);
    }
}

/// `index` is the normalization.
fn fold(graph: &mut Graph, index: usize) -> Option<()> {
    let Op::BatchNorm { epsilon } = graph.nodes[index].op else { return None };
    let (normalized, operands) = (graph.nodes[index].output, graph.nodes[index].inputs.clone());
    let convolved = operands[0];
    if graph.uses().get(&convolved) != Some(&1) {
        return None;
    }
    let at = graph.nodes.iter().position(|node| node.output == convolved)?;
    if !matches!(graph.nodes[at].op, Op::Conv { .. }) {
        return None;
    }
    let weight = |id| graph.weights.get(id).filter(|weight| weight.dtype == DType::F32).cloned();
    let [scale, shift, mean, variance] = [1, 2, 3, 4].map(|i| operands.get(i).and_then(weight));
    let statistics = [scale?, shift?, mean?, variance?];
    let kernel = weight(&graph.nodes[at].inputs[1])?;
    let bias = match graph.nodes[at].inputs.get(2) {
        Some(id) => Some(weight(id)?),
        None => None,
    };
    let channels = kernel.shape[0];
    let module = kernel.name.rsplit_once('.').map_or("", |(module, _)| module);
    let bias_name = if module.is_empty() { "bias".to_owned() } else { format!("{module}.bias") };

    let (factors, old) = (statistics.clone(), kernel.clone());
    let scaled = Weight::deferred(kernel.name.clone(), DType::F32, kernel.shape.clone(), move || {
        let factors = channel_factors(&factors, epsilon);
        let row = old.byte_len() / 4 / factors.len().max(1);
        let elements = floats(&old).into_iter().enumerate().map(|(i, element)| element * factors[i / row.max(1)]);
        elements.flat_map(f32::to_le_bytes).collect()
    });
    let shifted = Weight::deferred(bias_name, DType::F32, vec![channels], move || {
        let factors = channel_factors(&statistics, epsilon);
        let bias = bias.as_ref().map_or_else(|| vec![0.0; factors.len()], floats);
        let [_, shift, mean, _] = &statistics;
        let channels = floats(shift).into_iter().zip(floats(mean)).zip(bias).zip(factors);
        channels.flat_map(|(((shift, mean), bias), factor)| ((bias - mean) * factor + shift).to_le_bytes()).collect()
    });
    let (kernel, bias) = (graph.add_weight(scaled), graph.add_weight(shifted));
    let input = graph.nodes[at].inputs[0];
    graph.nodes[at].inputs = vec![input, kernel, bias];
    graph.replace_uses(normalized, convolved);
    Some(())
}

/// `scale / sqrt(variance + epsilon)`.
fn channel_factors([scale, _, _, variance]: &[Weight; 4], epsilon: f32) -> Vec<f32> {
    let channels = floats(scale).into_iter().zip(floats(variance));
    channels.map(|(scale, variance)| scale / (variance + epsilon).sqrt()).collect()
}

fn floats(weight: &Weight) -> Vec<f32> {
    weight.bytes().chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
}
