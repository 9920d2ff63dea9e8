//! Functions of tensors: shapes, selection, order, reductions, comparisons, arithmetic.

use burn::nn::Relu;
use burn::tensor::ops::PadMode;
use burn::tensor::{DType, Int, Tensor, s};
use mbsd_export::{Inputs, Output};

use crate::case::{Case, In, run};

const PAIR: &[In] = &[In::Float("x", "batch text 6"), In::Float("z", "batch text 6")];
const NUMBERS: &[In] = &[In::Int("n", "batch text", 9), In::Int("m", "batch text", 9)];
const CHOICE: &[In] = &[In::Float("x", "batch 7 6"), In::Int("at", "batch 3 6", 7), In::Int("rows", "count", 7)];

fn of(name: &'static str, form: &'static str, f: fn(&Relu, Tensor<3>) -> Tensor<3>) -> Case {
    Case::one(name, "batch text 6", form, Relu::new(), f)
}

fn ints(name: &'static str, form: &'static str, f: fn(&Relu, Tensor<3>) -> Tensor<3, Int>) -> Case {
    Case::one(name, "batch text 6", form, Relu::new(), f)
}

fn with(name: &'static str, inputs: &'static [In], form: &'static str, f: fn(&Relu, &Inputs) -> Vec<Output>) -> Case {
    Case::new(name, inputs, form, Relu::new(), f)
}

fn pair(inputs: &Inputs) -> (Tensor<3>, Tensor<3>) {
    (inputs.float("x"), inputs.float("z"))
}

fn numbers(inputs: &Inputs) -> (Tensor<2, Int>, Tensor<2, Int>) {
    (inputs.int("n"), inputs.int("m"))
}

#[test]
fn shapes_and_selection() {
    run(vec![
        of("slice to a named size less one", "slice", |_, x| {
            let [_, text, _] = x.dims();
            x.slice(s![.., 1..text, ..])
        }),
        of("slice with a step", "slice", |_, x| x.slice(s![.., .., 1..6;2])),
        of("flip", "range gather gather", |_, x| x.flip([1, 2])),
        of("pad with a number", "pad", |_, x| x.pad([(1, 2), (0, 3)], PadMode::Constant(0.5))),
        of("pad with the edge", "pad", |_, x| x.pad([(1, 2), (0, 3)], PadMode::Edge)),
        of("pad by reflection", "pad", |_, x| x.pad([(1, 2), (0, 3)], PadMode::Reflect)),
        of("assign to a part", "slice mul slice slice slice concat slice slice concat", |_, x| {
            let part = x.clone().slice(s![.., 0..1, 2..4]) * 2.0;
            x.slice_assign(s![.., 1..2, 3..5], part)
        }),
        of("repeat", "tile", |_, x| x.repeat_dim(2, 3)),
        of("expand", "slice expand", |_, x| {
            let [batch, text, _] = x.dims();
            x.slice(s![.., .., 0..1]).expand([batch, text, 6])
        }),
        of("split and cat", "slice slice slice concat", |_, x| {
            let mut parts = x.split(2, 2);
            parts.rotate_left(1);
            Tensor::cat(parts, 2)
        }),
        of("positions added", "range cast reshape add", |_, x| {
            let [_, text, _] = x.dims();
            let positions = Tensor::arange(0..text as i64, &x.device()).float().reshape([1, text, 1]);
            x + positions
        }),
        with("gather along an axis", CHOICE, "gather_elements", |_, i| {
            vec![Output::new("y", i.float::<3>("x").gather(1, i.int::<3>("at")))]
        }),
        with("select rows", CHOICE, "gather", |_, i| {
            vec![Output::new("y", i.float::<3>("x").select(1, i.int::<1>("rows")))]
        }),
        with("where", PAIR, "less where", |_, i| {
            let (x, z) = pair(i);
            vec![Output::new("y", x.clone().mask_where(x.lower(z.clone()), z))]
        }),
        with("fill", PAIR, "greater where", |_, i| {
            let (x, z) = pair(i);
            vec![Output::new("y", x.mask_fill(z.greater_elem(0.2), 7.0))]
        }),
    ]);
}

#[test]
fn order() {
    run(vec![
        of("cumsum", "cum_sum", |_, x| x.cumsum(1)),
        of("topk", "top_k", |_, x| x.topk(3, 2)),
        of("topk along a named size", "top_k", |_, x| x.topk(2, 1)),
        of("sort", "top_k", |_, x| x.sort(2)),
        of("sort along a named size", "top_k", |_, x| x.sort(1)).without_tract(),
        of("sort from the largest", "top_k", |_, x| x.sort_descending(2)),
        ints("argsort", "top_k_indices", |_, x| x.argsort(2)),
        ints("argmax", "arg_max", |_, x| x.argmax(2)),
        ints("argmin along a named size", "arg_min", |_, x| x.argmin(1)),
        with("topk with indices", PAIR, "top_k top_k_indices", |_, i| {
            let (values, places) = pair(i).0.topk_with_indices(4, 2);
            vec![Output::new("values", values), Output::new("places", places)]
        }),
        with("sort with indices", PAIR, "top_k top_k_indices", |_, i| {
            let (values, places) = pair(i).0.sort_with_indices(2);
            vec![Output::new("values", values), Output::new("places", places)]
        }),
        with("max with indices", PAIR, "reduce_max arg_max", |_, i| {
            let (values, places) = pair(i).0.max_dim_with_indices(1);
            vec![Output::new("values", values), Output::new("places", places)]
        }),
        with("cumsum of numbers", NUMBERS, "cum_sum", |_, i| vec![Output::new("y", numbers(i).0.cumsum(1))]),
    ]);
}

#[test]
fn reductions() {
    run(vec![
        of("mean", "reduce_mean", |_, x| x.mean_dim(1)),
        of("sum", "reduce_sum", |_, x| x.sum_dim(2)),
        of("sum of two axes", "reduce_sum", |_, x| x.sum_dims(&[1, 2])),
        of("prod", "reduce_prod", |_, x| x.prod_dim(2)),
        of("max and min", "reduce_max reduce_min sub", |_, x| x.clone().max_dim(1) - x.min_dim(1)),
        of("max of magnitudes", "abs reduce_max", |_, x| x.max_abs_dim(2)),
        of("variance", "reduce_mean sub mul reduce_sum div", |_, x| x.var(2)),
        Case::one("sum of everything", "batch text 6", "reduce_sum reshape", Relu::new(), |_, x: Tensor<3>| x.sum()),
        Case::one("mean of everything", "batch text 6", "reduce_mean reshape", Relu::new(), |_, x: Tensor<3>| x.mean()),
        Case::one(
            "any along an axis",
            "batch text 6",
            "greater cast reduce_max cast",
            Relu::new(),
            |_, x: Tensor<3>| x.greater_elem(0.7).any_dim(2),
        ),
        Case::one(
            "all along an axis",
            "batch text 6",
            "greater cast reduce_min cast",
            Relu::new(),
            |_, x: Tensor<3>| x.greater_elem(-0.7).all_dim(2),
        ),
        Case::one(
            "any and all",
            "batch text 6",
            "greater cast reduce_max reshape cast reduce_min reshape cast less cast reduce_min reshape cast concat",
            Relu::new(),
            |_, x: Tensor<3>| {
                let high = x.clone().greater_elem(0.99);
                Tensor::cat(vec![high.clone().any(), high.all(), x.lower_elem(2.0).all()], 0)
            },
        ),
    ]);
}

#[test]
fn comparisons_and_logic() {
    run(vec![
        with(
            "comparisons of floats",
            PAIR,
            "greater greater_or_equal less less_or_equal greater less_or_equal",
            |_, i| {
                let (x, z) = pair(i);
                vec![
                    Output::new("greater", x.clone().greater(z.clone())),
                    Output::new("greater_equal", x.clone().greater_equal(z.clone())),
                    Output::new("lower", x.clone().lower(z.clone())),
                    Output::new("lower_equal", x.clone().lower_equal(z)),
                    Output::new("greater_than_number", x.clone().greater_elem(0.1)),
                    Output::new("lower_equal_number", x.lower_equal_elem(0.1)),
                ]
            },
        ),
        with("comparisons of numbers", NUMBERS, "equal not less greater_or_equal equal", |_, i| {
            let (n, m) = numbers(i);
            vec![
                Output::new("equal", n.clone().equal(m.clone())),
                Output::new("not_equal", n.clone().not_equal(m.clone())),
                Output::new("lower", n.clone().lower(m.clone())),
                Output::new("greater_equal", n.clone().greater_equal(m)),
                Output::new("equal_number", n.equal_elem(4)),
            ]
        }),
        with("logic", NUMBERS, "greater greater and or xor not cast cast", |_, i| {
            let (n, m) = numbers(i);
            let (n, m) = (n.greater_elem(3), m.greater_elem(5));
            vec![
                Output::new("and", n.clone().bool_and(m.clone())),
                Output::new("or", n.clone().bool_or(m.clone())),
                Output::new("xor", n.clone().bool_xor(m.clone())),
                Output::new("not", n.clone().bool_not()),
                Output::new("float", n.clone().float()),
                Output::new("int", m.int()),
            ]
        }),
    ]);
}

#[test]
fn arithmetic() {
    run(vec![
        of("powers and roots", "abs pow pow abs sqrt add", |_, x| {
            x.clone().abs().powf_scalar(1.5) + x.powi_scalar(3).abs().sqrt()
        }),
        of("exponentials and logarithms", "exp abs add log add add", |_, x| {
            x.clone().exp() + (x.clone().abs() + 1.0).log() + x.abs().log1p()
        }),
        of("rounding", "mul round floor add ceil sub abs floor sign mul add", |_, x| {
            (x.clone() * 5.3).round() + (x.clone() * 5.3).floor() - (x.clone() * 5.3).ceil() + (x * 5.3).trunc()
        }),
        of("trigonometry", "sin cos add tan add sinh add cosh add", |_, x| {
            x.clone().sin() + x.clone().cos() + x.clone().tan() + x.clone().sinh() + x.cosh()
        }),
        of("inverse trigonometry", "asin acos add atan add asinh add mul atanh add add acosh add", |_, x| {
            x.clone().asin()
                + x.clone().acos()
                + x.clone().atan()
                + x.clone().asinh()
                + (x.clone() * 0.9).atanh()
                + (x + 2.5).acosh()
        }),
        of("clamp", "max min", |_, x| x.clamp(-0.3, 0.4)),
        of("remainder", "mul div floor mul sub", |_, x| (x * 7.0) % 1.5),
        of("sign, reciprocal, erf", "sign add recip add erf add", |_, x| {
            x.clone().sign() + (x.clone() + 3.0).recip() + x.erf()
        }),
        of("matmul", "transpose matmul", |_, x| x.clone().matmul(x.transpose())),
        ints("to whole numbers", "mul cast", |_, x| (x * 9.0).int()),
        of("a cast to the same type", "add", |_, x| x.clone().cast(DType::F32) + x),
        with("what is no number", PAIR, "*", |_, i| {
            let (x, z) = pair(i);
            vec![
                Output::new("nan", (x.clone() - 0.2).log().is_nan()),
                Output::new("inf", (x.clone() / z.mask_fill(x.greater_elem(0.0), 0.0)).is_inf()),
            ]
        }),
        with("whole numbers", NUMBERS, "add mul add div mod cast div max min reduce_max", |_, i| {
            let (n, m) = numbers(i);
            let m = m + 1;
            vec![
                Output::new("sum", n.clone() * 3 + m.clone()),
                Output::new("div", n.clone() / m.clone()),
                Output::new("rem", n.clone() % m.clone()),
                Output::new("float", n.clone().float() / 4.0),
                Output::new("clamp", n.clone().clamp(2, 6)),
                Output::new("max", n.max_dim(1)),
            ]
        }),
    ]);
}
