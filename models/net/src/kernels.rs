//! Training on a CPU: the parts of a layer that Burn would take apart into many operations, each over all of memory and
//! on one core, as one pass on all cores with a backward pass of its own.
//!
//! They stand in where a tensor is tracked for gradients on the CPU, in single precision. Everywhere else, on a GPU, in
//! evaluation and while a graph is captured, Burn's own operations run; the two agree (tests below).

mod attention;
mod gelu;
mod layer_norm;
mod math;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, DispatchDevice, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};

use attention::Sizes;

/// Whether the kernels stand in for Burn's operations on this tensor.
pub(crate) fn apply<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && is_cpu_training(&tensor.device())
}

fn is_cpu_training(device: &Device) -> bool {
    device.is_autodiff() && matches!(device.clone().without_autodiff().as_dispatch(), DispatchDevice::Flex(_))
}

/// Layer normalization over the last axis. Only where [`apply`] says so.
pub(crate) fn layer_norm<const D: usize>(
    input: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let (input, [gamma, beta]) = (input.into_dispatch(), [gamma, beta].map(Tensor::into_dispatch));
    Tensor::from_dispatch(<Dispatch as Kernels>::layer_norm_rows(input, gamma, beta, epsilon))
}

/// Exact GELU.
pub(crate) fn gelu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    match apply(&input) {
        true => Tensor::from_dispatch(<Dispatch as Kernels>::exact_gelu(input.into_dispatch())),
        false => burn::tensor::activation::gelu(input),
    }
}

/// Attention of projected tokens, `query` `[batch, queries, width]` over `key` and `value` `[batch, tokens, width]`; `mask`,
/// `[batch, tokens]`, is added to the scores. Only where [`apply`] says so.
pub(crate) fn attention(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    mask: Option<Tensor<2>>,
    heads: usize,
) -> Tensor<3> {
    let mask = mask.unwrap_or_else(|| Tensor::zeros([1, 0], &query.device()));
    let [query, key, value] = [query, key, value].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as Kernels>::attend(query, key, value, mask.into_dispatch(), heads))
}

#[backend_extension(Flex, Autodiff)]
trait Kernels: Backend {
    fn layer_norm_rows(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    fn exact_gelu(input: FloatTensor<Self>) -> FloatTensor<Self>;

    fn attend(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self>;
}

/// A tensor's values in order.
struct Values(FlexTensor);

impl Values {
    fn of(tensor: &FlexTensor) -> Self {
        Self(tensor.to_contiguous())
    }
}

impl std::ops::Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let start = self.0.layout().start_offset();
        &self.0.storage::<f32>()[start..start + self.0.layout().num_elements()]
    }
}

fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

fn sizes(query: &FlexTensor, key: &FlexTensor, heads: usize) -> Sizes {
    let (query, key) = (query.shape(), key.shape());
    Sizes { queries: query[1], tokens: key[1], heads, width: query[2] }
}

fn attend(inputs: &[FlexTensor; 3], mask: &FlexTensor, heads: usize) -> [FlexTensor; 2] {
    let [query, key, value] = inputs.each_ref().map(Values::of);
    let sizes = sizes(&query.0, &key.0, heads);
    let [output, probabilities] = attention::forward(&query, &key, &value, &Values::of(mask), sizes);
    let count = probabilities.len();
    [tensor(output, query.0.shape()), tensor(probabilities, Shape::from([count]))]
}

impl Kernels for Flex {
    fn layer_norm_rows(input: FlexTensor, gamma: FlexTensor, beta: FlexTensor, epsilon: f64) -> FlexTensor {
        let [values, gamma, beta] = [&input, &gamma, &beta].map(Values::of);
        tensor(layer_norm::forward(&values, &gamma, &beta, epsilon as f32), input.shape())
    }

    fn exact_gelu(input: FlexTensor) -> FlexTensor {
        tensor(gelu::forward(&Values::of(&input)), input.shape())
    }

    fn attend(query: FlexTensor, key: FlexTensor, value: FlexTensor, mask: FlexTensor, heads: usize) -> FlexTensor {
        let [output, _] = attend(&[query, key, value], &mask, heads);
        output
    }
}

impl<C: CheckpointStrategy> Kernels for Autodiff<Flex, C> {
    fn layer_norm_rows(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct LayerNormRows;

        impl Backward<Flex, 3> for LayerNormRows {
            type State = (FlexTensor, FlexTensor, f64);

            fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
                let gradient = Values::of(&gradients.consume::<Flex>(&ops.node));
                let (input, gamma, epsilon) = ops.state;
                let shapes = [input.shape(), gamma.shape(), gamma.shape()];
                let [values, gamma] = [&input, &gamma].map(Values::of);
                let computed = layer_norm::backward(&values, &gamma, &gradient, epsilon as f32);
                for ((parent, values), shape) in ops.parents.into_iter().zip(computed).zip(shapes) {
                    if let Some(parent) = parent {
                        gradients.register::<Flex>(parent.id, tensor(values, shape));
                    }
                }
            }
        }

        let nodes = [input.node(), gamma.node(), beta.node()];
        let [input, gamma, beta] = [input, gamma, beta].map(|tensor| tensor.into_primitive());
        let output = Flex::layer_norm_rows(input.clone(), gamma.clone(), beta, epsilon);
        match LayerNormRows.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((input, gamma, epsilon), output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }

    fn exact_gelu(input: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct ExactGelu;

        impl Backward<Flex, 1> for ExactGelu {
            type State = FlexTensor;

            fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
                let gradient = Values::of(&gradients.consume::<Flex>(&ops.node));
                let [parent] = ops.parents;
                if let Some(parent) = parent {
                    let values = gelu::backward(&Values::of(&ops.state), &gradient);
                    gradients.register::<Flex>(parent.id, tensor(values, ops.state.shape()));
                }
            }
        }

        let nodes = [input.node()];
        let input = input.into_primitive();
        let output = Flex::exact_gelu(input.clone());
        match ExactGelu.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(input, output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }

    fn attend(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Attend;

        impl Backward<Flex, 3> for Attend {
            type State = ([FlexTensor; 3], FlexTensor, usize);

            fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
                let gradient = Values::of(&gradients.consume::<Flex>(&ops.node));
                let (inputs, probabilities, heads) = ops.state;
                let shapes = inputs.each_ref().map(TensorMetadata::shape);
                let sizes = sizes(&inputs[0], &inputs[1], heads);
                let [query, key, value] = inputs.each_ref().map(Values::of);
                let computed = attention::backward(&query, &key, &value, &Values::of(&probabilities), &gradient, sizes);
                for ((parent, values), shape) in ops.parents.into_iter().zip(computed).zip(shapes) {
                    if let Some(parent) = parent {
                        gradients.register::<Flex>(parent.id, tensor(values, shape));
                    }
                }
            }
        }

        let nodes = [query.node(), key.node(), value.node()];
        let inputs = [query, key, value].map(|tensor| tensor.into_primitive());
        let [output, probabilities] = self::attend(&inputs, &mask.into_primitive(), heads);
        match Attend.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((inputs, probabilities, heads), output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }
}

#[cfg(test)]
mod tests;
