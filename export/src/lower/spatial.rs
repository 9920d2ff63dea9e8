//! Pooling and resampling over the axes after batch and channels.

use burn_ir::{InterpolateModeIr as Mode, InterpolateOpIr, ModuleOperationIr as Module, TensorIr};

use super::{Lowering, dims, variant_name};
use crate::dims::Dim;
use crate::error::ExportError;
use crate::graph::{DType, Interpolation, Op, Pool, Reduce, ValueId, Weight, Window};

impl Lowering<'_> {
    pub(super) fn spatial(&mut self, op: &Module) -> Result<(), ExportError> {
        match op {
            Module::MaxPool1d(ir) => {
                let window = window(&[ir.kernel_size], &[ir.stride], &[ir.padding], &[ir.dilation]);
                self.pool(&ir.x, Pool::Max, window, ir.ceil_mode, &ir.out)
            }
            Module::MaxPool2d(ir) => {
                let window = window(&ir.kernel_size, &ir.stride, &ir.padding, &ir.dilation);
                self.pool(&ir.x, Pool::Max, window, ir.ceil_mode, &ir.out)
            }
            Module::AvgPool1d(ir) => {
                let window = window(&[ir.kernel_size], &[ir.stride], &[ir.padding], &[1]);
                let kind = Pool::Mean { pads_count: ir.count_include_pad && ir.padding > 0 };
                self.pool(&ir.x, kind, window, ir.ceil_mode, &ir.out)
            }
            Module::AvgPool2d(ir) => {
                let window = window(&ir.kernel_size, &ir.stride, &ir.padding, &[1, 1]);
                let kind = Pool::Mean { pads_count: ir.count_include_pad && ir.padding != [0, 0] };
                self.pool(&ir.x, kind, window, ir.ceil_mode, &ir.out)
            }
            Module::AdaptiveAvgPool1d(ir) => self.adaptive_mean(&ir.x, &[ir.output_size], &ir.out),
            Module::AdaptiveAvgPool2d(ir) => self.adaptive_mean(&ir.x, &ir.output_size, &ir.out),
            Module::AdaptiveAvgPool3d(ir) => self.adaptive_mean(&ir.x, &ir.output_size, &ir.out),
            Module::Interpolate(ir) => self.interpolate(ir),
            other => Err(self.unsupported(&variant_name(other))),
        }
    }

    fn pool(
        &mut self,
        x: &TensorIr,
        kind: Pool,
        window: Window,
        ceil: bool,
        out: &TensorIr,
    ) -> Result<(), ExportError> {
        // Engines disagree on what a mean over padding and over the end divides by.
        if ceil && matches!(kind, Pool::Mean { pads_count: true }) {
            return Err(self.unsupported("AvgPool with ceil_mode and counted padding"));
        }
        let x = self.input(x)?;
        self.push(Op::Pool { kind, window, ceil }, vec![x], out)
    }

    /// Means over equal shares of each axis: of all of it, of windows where it divides, else by a product with a matrix of
    /// the shares.
    fn adaptive_mean(&mut self, x: &TensorIr, sizes: &[usize], out: &TensorIr) -> Result<(), ExportError> {
        let input = self.input(x)?;
        let extents = &x.shape[2..];
        if sizes.iter().all(|&size| size == 1) {
            let axes = (2..x.shape.num_dims()).collect();
            return self.push(Op::Reduce { kind: Reduce::Mean, axes }, vec![input], out);
        }
        if extents.iter().zip(sizes).all(|(extent, size)| extent % size == 0) {
            let kernel: Vec<usize> = extents.iter().zip(sizes).map(|(extent, size)| extent / size).collect();
            let none = vec![0; sizes.len()];
            let window = window(&kernel, &kernel, &none, &vec![1; sizes.len()]);
            return self.pool(x, Pool::Mean { pads_count: false }, window, false, out);
        }
        if sizes.len() > 2 {
            return Err(self.unsupported("AdaptiveAvgPool3d to sizes that do not divide the axes"));
        }
        let shares = extents.iter().zip(sizes).map(|(&from, &to)| mean_shares(from, to)).collect::<Vec<_>>();
        self.resample(input, &shares, sizes, out)
    }

    fn interpolate(&mut self, ir: &InterpolateOpIr) -> Result<(), ExportError> {
        let x = self.input(&ir.x)?;
        let from = &ir.x.shape[2..];
        let to = &ir.output_size;
        let grows_whole = from.iter().zip(to).all(|(from, to)| to % from == 0);
        let mode = match ir.options.mode {
            Mode::Nearest if grows_whole => Interpolation::Nearest,
            // Rounding of a ratio that is no whole number differs between engines: the indices are constants.
            Mode::Nearest => return self.nearest(ir),
            Mode::Bilinear => Interpolation::Linear,
            Mode::Bicubic => Interpolation::Cubic,
            // The first is not in Burn's CPU backend, by which graphs are measured; the second is not in ONNX.
            Mode::NearestExact | Mode::Lanczos3 => {
                return Err(self.unsupported(&format!("Interpolate with {:?}", ir.options.mode)));
            }
        };
        let size = to.iter().map(|&extent| Dim::from(extent)).collect();
        let align_corners = ir.options.align_corners && mode != Interpolation::Nearest;
        self.push(Op::Resize { mode, align_corners, size }, vec![x], &ir.out)
    }

    /// Rows and columns gathered where their shares of the axis begin.
    fn nearest(&mut self, ir: &InterpolateOpIr) -> Result<(), ExportError> {
        let mut x = self.input(&ir.x)?;
        let mut shape = dims(&ir.x);
        for (axis, &to) in (2..).zip(&ir.output_size) {
            let from = ir.x.shape[axis];
            let ratio = from as f64 / to as f64;
            let indices: Vec<i64> = (0..to).map(|i| ((i as f64 * ratio).floor() as i64).min(from as i64 - 1)).collect();
            let bytes = indices.iter().flat_map(|i| i.to_le_bytes()).collect();
            let indices = self.graph.add_weight(Weight::inline("indices", DType::I64, vec![to], bytes));
            shape[axis] = Dim::from(to);
            x = self.node(Op::Gather { axis }, vec![x, indices], DType::F32, shape.clone());
        }
        self.ids.insert(ir.out.id, x);
        Ok(())
    }

    /// Products with a matrix `[from, to]` for each axis after batch and channels, two axes at most.
    fn resample(
        &mut self,
        x: ValueId,
        matrices: &[Vec<f32>],
        sizes: &[usize],
        out: &TensorIr,
    ) -> Result<(), ExportError> {
        let mut x = x;
        let last = sizes.len() + 1;
        for (i, (matrix, &to)) in matrices.iter().zip(sizes).enumerate().rev() {
            let axis = i + 2;
            let from = matrix.len() / to;
            let mut shape = self.graph.shape(x).to_vec();
            shape[axis] = Dim::from(to);
            // A matrix for the last axis stands on the right, one for the axis before on the left.
            let (extents, matrix) =
                if axis == last { (vec![from, to], matrix.clone()) } else { (vec![to, from], transposed(matrix, to)) };
            let bytes = matrix.iter().flat_map(|share| share.to_le_bytes()).collect();
            let matrix = self.graph.add_weight(Weight::inline("shares", DType::F32, extents, bytes));
            let operands = if axis == last { vec![x, matrix] } else { vec![matrix, x] };
            x = self.node(Op::MatMul, operands, DType::F32, shape);
        }
        self.ids.insert(out.id, x);
        Ok(())
    }
}

fn window(kernel: &[usize], strides: &[usize], pads: &[usize], dilations: &[usize]) -> Window {
    Window {
        kernel: kernel.to_vec(),
        strides: strides.to_vec(),
        pads: pads.iter().map(|&pad| (pad, pad)).collect(),
        dilations: dilations.to_vec(),
    }
}

/// The share of each of `from` elements in each of `to` means, `[from, to]`.
fn mean_shares(from: usize, to: usize) -> Vec<f32> {
    let mut shares = vec![0.0; from * to];
    for target in 0..to {
        let (start, end) = (target * from / to, ((target + 1) * from).div_ceil(to));
        for source in start..end {
            shares[source * to + target] = 1.0 / (end - start) as f32;
        }
    }
    shares
}

fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns).copied()).collect()
}
