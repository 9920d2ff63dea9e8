//! Arithmetic, reductions and conversions.

use burn_ir::{
    BoolOperationIr as Bool, FloatOperationIr as Float, IntOperationIr as Int, NumericOperationIr as Numeric, TensorIr,
};

use super::{Lowering, dims, number, variant_name};
use crate::error::ExportError;
use crate::graph::{Binary, DType, Op, Reduce, Unary, ValueId};

impl Lowering<'_> {
    pub(super) fn numeric(&mut self, op: &Numeric) -> Result<(), ExportError> {
        match op {
            Numeric::Add(ir) => self.binary(Binary::Add, ir),
            Numeric::AddScalar(ir) => self.with_scalar(Binary::Add, ir),
            Numeric::Sub(ir) => self.binary(Binary::Sub, ir),
            Numeric::SubScalar(ir) => self.with_scalar(Binary::Sub, ir),
            Numeric::Mul(ir) => self.binary(Binary::Mul, ir),
            Numeric::MulScalar(ir) => self.with_scalar(Binary::Mul, ir),
            Numeric::Div(ir) => self.binary(Binary::Div, ir),
            Numeric::DivScalar(ir) => self.with_scalar(Binary::Div, ir),
            Numeric::Greater(ir) => self.binary(Binary::Greater, ir),
            Numeric::GreaterElem(ir) => self.with_scalar(Binary::Greater, ir),
            Numeric::GreaterEqual(ir) => self.binary(Binary::GreaterOrEqual, ir),
            Numeric::GreaterEqualElem(ir) => self.with_scalar(Binary::GreaterOrEqual, ir),
            Numeric::Lower(ir) => self.binary(Binary::Less, ir),
            Numeric::LowerElem(ir) => self.with_scalar(Binary::Less, ir),
            Numeric::LowerEqual(ir) => self.binary(Binary::LessOrEqual, ir),
            Numeric::LowerEqualElem(ir) => self.with_scalar(Binary::LessOrEqual, ir),
            Numeric::Powi(ir) => self.binary(Binary::Pow, ir),
            Numeric::PowiScalar(ir) => self.with_scalar(Binary::Pow, ir),
            Numeric::ClampMin(ir) => self.with_scalar(Binary::Max, ir),
            Numeric::ClampMax(ir) => self.with_scalar(Binary::Min, ir),
            Numeric::Clamp(ir) => {
                let x = self.input(&ir.tensor)?;
                let (low, high) = (self.scalar(number(&ir.min), x), self.scalar(number(&ir.max), x));
                let dtype = self.dtype(ir.out.dtype)?;
                let raised = self.node(Op::Binary(Binary::Max), vec![x, low], dtype, dims(&ir.out));
                self.push(Op::Binary(Binary::Min), vec![raised, high], &ir.out)
            }
            Numeric::Abs(ir) => self.unary(Unary::Abs, ir),
            Numeric::Neg(ir) => self.unary(Unary::Neg, ir),
            Numeric::Sign(ir) => self.unary(Unary::Sign, ir),
            Numeric::Full(ir) => {
                self.push(Op::Fill { shape: dims(&ir.out), value: number(&ir.value) }, vec![], &ir.out)
            }
            Numeric::MeanDim(ir) => self.reduce(Reduce::Mean, ir),
            Numeric::SumDim(ir) => self.reduce(Reduce::Sum, ir),
            Numeric::ProdDim(ir) => self.reduce(Reduce::Prod, ir),
            Numeric::MaxDim(ir) => self.reduce(Reduce::Max, ir),
            Numeric::MinDim(ir) => self.reduce(Reduce::Min, ir),
            Numeric::SumDims(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::Reduce { kind: Reduce::Sum, axes: ir.axes.clone() }, vec![x], &ir.out)
            }
            Numeric::MaxAbsDim(ir) => {
                let x = self.absolute(&ir.input)?;
                self.push(Op::Reduce { kind: Reduce::Max, axes: vec![ir.axis] }, vec![x], &ir.out)
            }
            Numeric::MaxDimWithIndices(ir) => self.extreme(true, ir),
            Numeric::MinDimWithIndices(ir) => self.extreme(false, ir),
            Numeric::ArgMax(ir) => self.arg_reduce(true, ir),
            Numeric::ArgMin(ir) => self.arg_reduce(false, ir),
            Numeric::TopK(ir) => self.top_k(false, ir),
            Numeric::ArgTopK(ir) => self.top_k(true, ir),
            Numeric::TopKWithIndices(ir) => self.top_k_with_indices(ir),
            Numeric::Sort(ir) => self.sort(false, ir),
            Numeric::ArgSort(ir) => self.sort(true, ir),
            Numeric::SortWithIndices(ir) => self.sort_with_indices(ir),
            Numeric::CumSum(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::CumSum { axis: ir.axis }, vec![x], &ir.out)
            }
            Numeric::Pad(ir) => self.pad(ir),
            Numeric::Rem(ir) => {
                let operands = [self.input(&ir.lhs)?, self.input(&ir.rhs)?];
                self.remainder(operands, &ir.out)
            }
            Numeric::RemScalar(ir) => {
                let x = self.input(&ir.lhs)?;
                let divisor = self.scalar(number(&ir.rhs), x);
                self.remainder([x, divisor], &ir.out)
            }
            Numeric::Mean(ir) => self.reduce_all(Reduce::Mean, ir),
            Numeric::Sum(ir) => self.reduce_all(Reduce::Sum, ir),
            Numeric::Prod(ir) => self.reduce_all(Reduce::Prod, ir),
            Numeric::Max(ir) => self.reduce_all(Reduce::Max, ir),
            Numeric::Min(ir) => self.reduce_all(Reduce::Min, ir),
            other => Err(self.unsupported(&variant_name(other))),
        }
    }

    pub(super) fn float(&mut self, op: &Float) -> Result<(), ExportError> {
        match op {
            Float::Exp(ir) => self.unary(Unary::Exp, ir),
            Float::Log(ir) => self.unary(Unary::Log, ir),
            Float::Erf(ir) => self.unary(Unary::Erf, ir),
            Float::Sqrt(ir) => self.unary(Unary::Sqrt, ir),
            Float::Sin(ir) => self.unary(Unary::Sin, ir),
            Float::Cos(ir) => self.unary(Unary::Cos, ir),
            Float::Tanh(ir) => self.unary(Unary::Tanh, ir),
            Float::Tan(ir) => self.unary(Unary::Tan, ir),
            Float::Sinh(ir) => self.unary(Unary::Sinh, ir),
            Float::Cosh(ir) => self.unary(Unary::Cosh, ir),
            Float::ArcSin(ir) => self.unary(Unary::Asin, ir),
            Float::ArcSinh(ir) => self.unary(Unary::Asinh, ir),
            Float::ArcCos(ir) => self.unary(Unary::Acos, ir),
            Float::ArcCosh(ir) => self.unary(Unary::Acosh, ir),
            Float::ArcTan(ir) => self.unary(Unary::Atan, ir),
            Float::ArcTanh(ir) => self.unary(Unary::Atanh, ir),
            Float::IsNan(ir) => self.unary(Unary::IsNan, ir),
            Float::IsInf(ir) => self.unary(Unary::IsInf, ir),
            Float::Log1p(ir) => {
                let x = self.input(&ir.input)?;
                let one = self.scalar(1.0, x);
                let sum = self.combine(Binary::Add, x, one);
                self.push(Op::Unary(Unary::Log), vec![sum], &ir.out)
            }
            Float::Trunc(ir) => {
                let x = self.input(&ir.input)?;
                let magnitude = self.absolute(&ir.input)?;
                let whole = self.apply(Unary::Floor, magnitude);
                let sign = self.apply(Unary::Sign, x);
                self.push(Op::Binary(Binary::Mul), vec![sign, whole], &ir.out)
            }
            Float::Round(ir) => self.unary(Unary::Round, ir),
            Float::Floor(ir) => self.unary(Unary::Floor, ir),
            Float::Ceil(ir) => self.unary(Unary::Ceil, ir),
            Float::Recip(ir) => self.unary(Unary::Recip, ir),
            Float::PowfScalar(ir) => self.with_scalar(Binary::Pow, ir),
            Float::Powf(ir) => self.binary(Binary::Pow, ir),
            Float::IntoInt(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::Cast, vec![x], &ir.out)
            }
            Float::Matmul(ir) => {
                let operands = vec![self.input(&ir.lhs)?, self.input(&ir.rhs)?];
                self.push(Op::MatMul, operands, &ir.out)
            }
            other => Err(self.unsupported(&variant_name(other))),
        }
    }

    pub(super) fn int(&mut self, op: &Int) -> Result<(), ExportError> {
        match op {
            Int::IntoFloat(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::Cast, vec![x], &ir.out)
            }
            other => Err(self.unsupported(&variant_name(other))),
        }
    }

    pub(super) fn bool(&mut self, op: &Bool) -> Result<(), ExportError> {
        match op {
            Bool::IntoFloat(ir) | Bool::IntoInt(ir) => {
                let x = self.input(&ir.input)?;
                self.push(Op::Cast, vec![x], &ir.out)
            }
            Bool::Not(ir) => self.unary(Unary::Not, ir),
            Bool::And(ir) => self.binary(Binary::And, ir),
            Bool::Or(ir) => self.binary(Binary::Or, ir),
            Bool::Xor(ir) => self.binary(Binary::Xor, ir),
        }
    }

    fn absolute(&mut self, x: &TensorIr) -> Result<ValueId, ExportError> {
        let x = self.input(x)?;
        Ok(self.apply(Unary::Abs, x))
    }

    /// The remainder with the sign of the divisor. ONNX has it for whole numbers only.
    fn remainder(&mut self, [x, divisor]: [ValueId; 2], out: &TensorIr) -> Result<(), ExportError> {
        if self.graph.value(x).dtype == DType::I64 {
            return self.push(Op::Binary(Binary::Mod), vec![x, divisor], out);
        }
        let ratio = self.combine(Binary::Div, x, divisor);
        let whole = self.apply(Unary::Floor, ratio);
        let multiple = self.combine(Binary::Mul, whole, divisor);
        self.push(Op::Binary(Binary::Sub), vec![x, multiple], out)
    }
}
