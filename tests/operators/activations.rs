//! Activations, element by element and along an axis.

use burn::nn::{PReluConfig, Relu};
use burn::tensor::activation::{
    elu, gelu, gelu_approximate, glu, hard_sigmoid, hard_swish, leaky_relu, log_sigmoid, log_softmax, mish,
    quiet_softmax, relu, sigmoid, silu, softmax, softmin, softplus, tanh,
};
use burn::tensor::{Device, Tensor};

use crate::case::{Case, run};

fn of(name: &'static str, form: &'static str, f: fn(&Relu, Tensor<3>) -> Tensor<3>) -> Case {
    Case::one(name, "batch text 6", form, Relu::new(), f)
}

#[test]
fn activations() {
    run(vec![
        of("relu", "relu", |_, x| relu(x)),
        of("leaky_relu", "leaky_relu", |_, x| leaky_relu(x, 0.2)),
        of("gelu", "gelu", |_, x| gelu(x)),
        of("gelu_approximate", "pow mul add mul tanh add mul mul", |_, x| gelu_approximate(x)),
        of("silu", "sigmoid mul", |_, x| silu(x)),
        of("tanh", "tanh", |_, x| tanh(x)),
        of("sigmoid", "sigmoid", |_, x| sigmoid(x)),
        of("hard_sigmoid", "mul mul add max min", |_, x| hard_sigmoid(x * 4.0, 0.2, 0.5)),
        of("hard_swish", "mul add max min mul", |_, x| hard_swish(x)),
        of("log_sigmoid", "mul neg softplus neg", |_, x| log_sigmoid(x * 30.0)),
        of("softplus", "mul mul greater where exp add log div where", |_, x| softplus(x * 30.0, 1.0)),
        of("mish", "mul greater where exp add log div where tanh mul", |_, x| mish(x)),
        of("elu", "less_or_equal exp sub mul where", |_, x| elu(x, 1.3)),
        of("softmax", "softmax", |_, x| softmax(x, 2)),
        of("softmax along a named size", "softmax", |_, x| softmax(x, 1)),
        of("log_softmax", "log_softmax", |_, x| log_softmax(x, 2)),
        of("softmin", "neg softmax", |_, x| softmin(x, 2)),
        of("quiet_softmax", "reduce_max equal where sub exp reduce_sum neg exp add div", |_, x| quiet_softmax(x, 2)),
        of("glu", "slice slice sigmoid mul", |_, x| glu(x, 2)),
        Case::one(
            "prelu of each channel",
            "batch 5 length",
            "p_relu",
            PReluConfig::new().with_num_parameters(5).init(&Device::flex()),
            |prelu, x: Tensor<3>| prelu.forward(x),
        ),
    ]);
}
