//! Operations of modules: products with weights, convolutions, normalization, activations.

use burn_ir::{ActivationOperationIr as Activation, ModuleOperationIr as Module, TensorIr};

use super::{Lowering, dims, number, variant_name};
use crate::error::ExportError;
use crate::graph::{Binary, DType, Op, Unary, Window};

/// Steps, padding, dilations and groups of a convolution.
type ConvOptions<'a> = (&'a [usize], &'a [(usize, usize)], &'a [usize], usize);

/// Steps, padding, padding of the output, dilations and groups of a transposed convolution.
type ConvTransposeOptions<'a> = (&'a [usize], &'a [usize], &'a [usize], &'a [usize], usize);

impl Lowering<'_> {
    pub(super) fn module(&mut self, op: &Module) -> Result<(), ExportError> {
        match op {
            Module::Embedding(ir) => {
                let operands = vec![self.input(&ir.weights)?, self.input(&ir.indices)?];
                self.push(Op::Gather { axis: 0 }, operands, &ir.out)
            }
            Module::Linear(ir) => {
                let (x, weight) = (self.input(&ir.x)?, self.input(&ir.weight)?);
                let Some(bias) = &ir.bias else { return self.push(Op::MatMul, vec![x, weight], &ir.out) };
                let product = self.node(Op::MatMul, vec![x, weight], DType::F32, dims(&ir.out));
                let bias = self.input(bias)?;
                self.push(Op::Binary(Binary::Add), vec![product, bias], &ir.out)
            }
            Module::Conv1d(ir) => {
                let o = &ir.options;
                self.conv(&ir.x, &ir.weight, &ir.bias, (&o.stride, &o.padding, &o.dilation, o.groups), &ir.out)
            }
            Module::Conv2d(ir) => {
                let o = &ir.options;
                self.conv(&ir.x, &ir.weight, &ir.bias, (&o.stride, &o.padding, &o.dilation, o.groups), &ir.out)
            }
            Module::Conv3d(ir) => {
                let o = &ir.options;
                let pads = o.padding.map(|pad| (pad, pad));
                self.conv(&ir.x, &ir.weight, &ir.bias, (&o.stride, &pads, &o.dilation, o.groups), &ir.out)
            }
            Module::ConvTranspose1d(ir) => {
                let o = &ir.options;
                let options = (&o.stride[..], &o.padding[..], &o.padding_out[..], &o.dilation[..], o.groups);
                self.conv_transpose(&ir.x, &ir.weight, &ir.bias, options, &ir.out)
            }
            Module::ConvTranspose2d(ir) => {
                let o = &ir.options;
                let options = (&o.stride[..], &o.padding[..], &o.padding_out[..], &o.dilation[..], o.groups);
                self.conv_transpose(&ir.x, &ir.weight, &ir.bias, options, &ir.out)
            }
            Module::BatchNorm(ir) => {
                let operands = [&ir.x, &ir.gamma, &ir.beta, &ir.mean, &ir.variance];
                let operands = operands.into_iter().map(|t| self.input(t)).collect::<Result<Vec<_>, _>>()?;
                self.push(Op::BatchNorm { epsilon: number(&ir.epsilon) as f32 }, operands, &ir.out)
            }
            Module::Attention(ir) => self.attention(ir),
            Module::AvgPool1d(_)
            | Module::AvgPool2d(_)
            | Module::MaxPool1d(_)
            | Module::MaxPool2d(_)
            | Module::AdaptiveAvgPool1d(_)
            | Module::AdaptiveAvgPool2d(_)
            | Module::AdaptiveAvgPool3d(_)
            | Module::Interpolate(_) => self.spatial(op),
            Module::LayerNorm(ir) => {
                let mut operands = vec![self.input(&ir.input)?, self.input(&ir.gamma)?];
                if let Some(beta) = &ir.beta {
                    operands.push(self.input(beta)?);
                }
                self.push(Op::LayerNorm { epsilon: number(&ir.epsilon) as f32 }, operands, &ir.out)
            }
            other => Err(self.unsupported(&variant_name(other))),
        }
    }

    pub(super) fn activation(&mut self, op: &Activation) -> Result<(), ExportError> {
        match op {
            Activation::Relu(ir) => self.unary(Unary::Relu, ir),
            Activation::Sigmoid(ir) => self.unary(Unary::Sigmoid, ir),
            Activation::Gelu(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::Gelu, vec![x], &ir.out)
            }
            Activation::LeakyRelu(ir) => {
                let x = self.input(&ir.lhs)?;
                self.push(Op::LeakyRelu { alpha: number(&ir.rhs) as f32 }, vec![x], &ir.out)
            }
            Activation::Softmax(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::Softmax { axis: ir.axis }, vec![x], &ir.out)
            }
            Activation::LogSoftmax(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::LogSoftmax { axis: ir.axis }, vec![x], &ir.out)
            }
            Activation::PRelu(ir) => self.binary(Binary::PRelu, ir),
            Activation::HardSigmoid(ir) => {
                let x = self.input(&ir.tensor)?;
                let [alpha, beta, low, high] =
                    [number(&ir.alpha), number(&ir.beta), 0.0, 1.0].map(|value| self.scalar(value, x));
                let scaled = self.combine(Binary::Mul, x, alpha);
                let shifted = self.combine(Binary::Add, scaled, beta);
                let raised = self.combine(Binary::Max, shifted, low);
                self.push(Op::Binary(Binary::Min), vec![raised, high], &ir.out)
            }
            Activation::LogSigmoid(ir) => {
                let x = self.input(&ir.input)?;
                let negative = self.apply(Unary::Neg, x);
                let softplus = self.apply(Unary::Softplus, negative);
                self.push(Op::Unary(Unary::Neg), vec![softplus], &ir.out)
            }
            Activation::Softmin(ir) => {
                let x = self.input(&ir.input)?;
                let negative = self.apply(Unary::Neg, x);
                self.push(Op::Softmax { axis: ir.axis }, vec![negative], &ir.out)
            }
            other => Err(self.unsupported(&variant_name(other))),
        }
    }

    fn conv(
        &mut self,
        x: &TensorIr,
        weight: &TensorIr,
        bias: &Option<TensorIr>,
        (strides, pads, dilations, groups): ConvOptions<'_>,
        out: &TensorIr,
    ) -> Result<(), ExportError> {
        let operands = [Some(x), Some(weight), bias.as_ref()].into_iter().flatten();
        let operands = operands.map(|t| self.input(t)).collect::<Result<Vec<_>, _>>()?;
        let window = Window {
            kernel: weight.shape[2..].to_vec(),
            strides: strides.to_vec(),
            pads: pads.to_vec(),
            dilations: dilations.to_vec(),
        };
        self.push(Op::Conv { window, groups }, operands, out)
    }

    fn conv_transpose(
        &mut self,
        x: &TensorIr,
        weight: &TensorIr,
        bias: &Option<TensorIr>,
        (strides, pads, output_pads, dilations, groups): ConvTransposeOptions<'_>,
        out: &TensorIr,
    ) -> Result<(), ExportError> {
        let operands = [Some(x), Some(weight), bias.as_ref()].into_iter().flatten();
        let operands = operands.map(|t| self.input(t)).collect::<Result<Vec<_>, _>>()?;
        let window = Window {
            kernel: weight.shape[2..].to_vec(),
            strides: strides.to_vec(),
            pads: pads.iter().map(|&pad| (pad, pad)).collect(),
            dilations: dilations.to_vec(),
        };
        self.push(Op::ConvTranspose { window, output_pads: output_pads.to_vec(), groups }, operands, out)
    }
}
