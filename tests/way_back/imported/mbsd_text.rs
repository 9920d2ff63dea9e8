// Generated from ONNX "mbsd_text.onnx" by burn-onnx
extern crate alloc;
use burn::prelude::*;
use burn::nn::LayerNorm;
use burn::nn::LayerNormConfig;
use burn::nn::Linear;
use burn::nn::LinearConfig;
use burn::tensor::Bytes;
use burn_store::BurnpackStore;
use burn_store::ModuleSnapshot;


#[derive(Module, Debug)]
pub struct Model {
    constant1: burn::module::Param<Tensor<2>>,
    constant2: burn::module::Param<Tensor<2>>,
    constant3: burn::module::Param<Tensor<2>>,
    constant6: burn::module::Param<Tensor<1>>,
    constant7: burn::module::Param<Tensor<1>>,
    constant8: burn::module::Param<Tensor<1>>,
    constant15: burn::module::Param<Tensor<1>>,
    constant45: burn::module::Param<Tensor<1>>,
    constant51: burn::module::Param<Tensor<1>>,
    constant52: burn::module::Param<Tensor<1>>,
    constant53: burn::module::Param<Tensor<1>>,
    layernormalization1: LayerNorm,
    linear1: Linear,
    linear2: Linear,
    linear3: Linear,
    linear4: Linear,
    layernormalization2: LayerNorm,
    linear5: Linear,
    linear6: Linear,
    layernormalization3: LayerNorm,
    linear7: Linear,
    linear8: Linear,
    linear9: Linear,
    linear10: Linear,
    layernormalization4: LayerNorm,
    linear11: Linear,
    linear12: Linear,
    layernormalization5: LayerNorm,
    linear13: Linear,
    linear14: Linear,
    #[module(skip)]
    device: Device,
}


impl Model {
    /// Load model weights from in-memory bytes.
    ///
    /// The bytes must be the contents of a `.bpk` file.
    pub fn from_bytes(bytes: Bytes, device: &Device) -> Self {
        let mut model = Self::new(device);
        let mut store = BurnpackStore::from_bytes(Some(bytes));
        model
            .load_from(&mut store)
            .unwrap_or_else(|e| panic!("Failed to load burnpack bytes: {e}"));
        model
    }
}

impl Model {
    #[allow(unused_variables)]
    pub fn new(device: &Device) -> Self {
        let constant1: burn::module::Param<Tensor<2>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                2,
            >::zeros([11, 16], (device, burn::tensor::DType::F32)),
            device.clone(),
            false,
            [11, 16].into(),
        );
        let constant2: burn::module::Param<Tensor<2>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                2,
            >::zeros([29, 16], (device, burn::tensor::DType::F32)),
            device.clone(),
            false,
            [29, 16].into(),
        );
        let constant3: burn::module::Param<Tensor<2>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                2,
            >::zeros([2, 16], (device, burn::tensor::DType::F32)),
            device.clone(),
            false,
            [2, 16].into(),
        );
        let constant6: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                1,
            >::zeros([16], (device, burn::tensor::DType::F32)),
            device.clone(),
            false,
            [16].into(),
        );
        let constant7: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                1,
            >::from_data(
                burn::tensor::TensorData::from([1f64]),
                (device, burn::tensor::DType::F32),
            ),
            device.clone(),
            false,
            [1].into(),
        );
        let constant8: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                1,
            >::from_data(
                burn::tensor::TensorData::from([-10000f64]),
                (device, burn::tensor::DType::F32),
            ),
            device.clone(),
            false,
            [1].into(),
        );
        let constant15: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                1,
            >::from_data(
                burn::tensor::TensorData::from([2.8284270763397217f64]),
                (device, burn::tensor::DType::F32),
            ),
            device.clone(),
            false,
            [1].into(),
        );
        let constant45: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                1,
            >::from_data(
                burn::tensor::TensorData::from([1.1983797550201416f64]),
                (device, burn::tensor::DType::F32),
            ),
            device.clone(),
            false,
            [1].into(),
        );
        let constant51: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                1,
            >::from_data(
                burn::tensor::TensorData::from([1.4142135381698608f64]),
                (device, burn::tensor::DType::F32),
            ),
            device.clone(),
            false,
            [1].into(),
        );
        let constant52: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                1,
            >::from_data(
                burn::tensor::TensorData::from([1f64]),
                (device, burn::tensor::DType::F32),
            ),
            device.clone(),
            false,
            [1].into(),
        );
        let constant53: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                1,
            >::from_data(
                burn::tensor::TensorData::from([0.5f64]),
                (device, burn::tensor::DType::F32),
            ),
            device.clone(),
            false,
            [1].into(),
        );
        let layernormalization1 = LayerNormConfig::new(16)
            .with_epsilon(0.0000000000009999999960041972f64)
            .with_bias(true)
            .init(device);
        let linear1 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let linear2 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let linear3 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let linear4 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let layernormalization2 = LayerNormConfig::new(16)
            .with_epsilon(0.0000000000009999999960041972f64)
            .with_bias(true)
            .init(device);
        let linear5 = LinearConfig::new(16, 24).with_bias(true).init(device);
        let linear6 = LinearConfig::new(24, 16).with_bias(true).init(device);
        let layernormalization3 = LayerNormConfig::new(16)
            .with_epsilon(0.0000000000009999999960041972f64)
            .with_bias(true)
            .init(device);
        let linear7 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let linear8 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let linear9 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let linear10 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let layernormalization4 = LayerNormConfig::new(16)
            .with_epsilon(0.0000000000009999999960041972f64)
            .with_bias(true)
            .init(device);
        let linear11 = LinearConfig::new(16, 24).with_bias(true).init(device);
        let linear12 = LinearConfig::new(24, 16).with_bias(true).init(device);
        let layernormalization5 = LayerNormConfig::new(16)
            .with_epsilon(0.0000000000009999999960041972f64)
            .with_bias(true)
            .init(device);
        let linear13 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let linear14 = LinearConfig::new(16, 1).with_bias(false).init(device);
        Self {
            constant1,
            constant2,
            constant3,
            constant6,
            constant7,
            constant8,
            constant15,
            constant45,
            constant51,
            constant52,
            constant53,
            layernormalization1,
            linear1,
            linear2,
            linear3,
            linear4,
            layernormalization2,
            linear5,
            linear6,
            layernormalization3,
            linear7,
            linear8,
            linear9,
            linear10,
            layernormalization4,
            linear11,
            linear12,
            layernormalization5,
            linear13,
            linear14,
            device: device.clone(),
        }
    }

    #[allow(clippy::let_and_return, clippy::approx_constant)]
    pub fn forward(
        &self,
        input_ids: Tensor<2, Int>,
        attention_mask: Tensor<2, Int>,
        token_type_ids: Tensor<2, Int>,
    ) -> (Tensor<1>, Tensor<2>) {
        let constant1_out1 = self.constant1.val();
        let constant2_out1 = self.constant2.val();
        let constant3_out1 = self.constant3.val();
        let constant6_out1 = self.constant6.val();
        let constant7_out1 = self.constant7.val();
        let constant8_out1 = self.constant8.val();
        let constant15_out1 = self.constant15.val();
        let constant45_out1 = self.constant45.val();
        let constant51_out1 = self.constant51.val();
        let constant52_out1 = self.constant52.val();
        let constant53_out1 = self.constant53.val();
        let shape1_out1: [i64; 1] = {
            let axes = &input_ids.clone().dims()[1..2];
            let mut output = [0i64; 1];
            for i in 0..1 {
                output[i] = axes[i] as i64;
            }
            output
        };
        let slice1_out1 = constant1_out1.slice(s![0..shape1_out1[0], ..]);
        let reshape1_out1 = slice1_out1.reshape([1, -1, 16]);
        let gather1_out1 = {
            let axis_size = constant2_out1.dims()[0] as i64;
            let negative = input_ids.clone().lower_elem(0i64);
            let corrected = input_ids.clone() + axis_size;
            let indices = input_ids.mask_where(negative, corrected);
            constant2_out1.take::<2, 3>(0, indices)
        };
        let gather2_out1 = {
            let axis_size = constant3_out1.dims()[0] as i64;
            let negative = token_type_ids.clone().lower_elem(0i64);
            let corrected = token_type_ids.clone() + axis_size;
            let indices = token_type_ids.mask_where(negative, corrected);
            constant3_out1.take::<2, 3>(0, indices)
        };
        let add1_out1 = gather1_out1.add(gather2_out1);
        let add2_out1 = add1_out1.add(reshape1_out1);
        let layernormalization1_out1 = {
            let dtype = add2_out1.dtype();
            self.layernormalization1
                .forward(add2_out1.cast(burn::tensor::DType::F32))
                .cast(dtype)
        };
        let add3_out1 = layernormalization1_out1
            .add((constant6_out1).unsqueeze_dims(&[0isize, 1isize]));
        let cast1_out1 = attention_mask.float().cast(burn::tensor::DType::F32);
        let neg1_out1 = cast1_out1.neg();
        let add4_out1 = neg1_out1.add((constant7_out1).unsqueeze_dims(&[0isize]));
        let mul1_out1 = add4_out1.mul((constant8_out1).unsqueeze_dims(&[0isize]));
        let reshape2_out1 = mul1_out1.reshape([0, 1, 1, -1]);
        let linear1_out1 = self.linear1.forward(add3_out1.clone());
        let linear2_out1 = self.linear2.forward(add3_out1.clone());
        let linear3_out1 = self.linear3.forward(add3_out1.clone());
        let reshape3_out1 = linear1_out1.reshape([0, 0, 2, 8]);
        let transpose1_out1 = reshape3_out1.permute([0, 2, 1, 3]);
        let reshape4_out1 = linear2_out1.reshape([0, 0, 2, 8]);
        let transpose2_out1 = reshape4_out1.permute([0, 2, 3, 1]);
        let reshape5_out1 = linear3_out1.reshape([0, 0, 2, 8]);
        let transpose3_out1 = reshape5_out1.permute([0, 2, 1, 3]);
        let matmul4_out1 = transpose1_out1.matmul(transpose2_out1);
        let div1_out1 = matmul4_out1
            .div((constant15_out1.clone()).unsqueeze_dims(&[0isize, 1isize, 2isize]));
        let add5_out1 = div1_out1.add(reshape2_out1.clone());
        let softmax1_out1 = burn::tensor::activation::softmax(add5_out1, 3);
        let matmul5_out1 = softmax1_out1.matmul(transpose3_out1);
        let transpose4_out1 = matmul5_out1.permute([0, 2, 1, 3]);
        let reshape6_out1 = transpose4_out1.reshape([0, 0, 16]);
        let linear4_out1 = self.linear4.forward(reshape6_out1);
        let add6_out1 = linear4_out1.add(add3_out1);
        let layernormalization2_out1 = {
            let dtype = add6_out1.dtype();
            self.layernormalization2
                .forward(add6_out1.cast(burn::tensor::DType::F32))
                .cast(dtype)
        };
        let linear5_out1 = self.linear5.forward(layernormalization2_out1.clone());
        let div2_out1 = linear5_out1
            .clone()
            .div((constant51_out1.clone()).unsqueeze_dims(&[0isize, 1isize]));
        let erf1_out1 = div2_out1.erf();
        let add7_out1 = erf1_out1
            .add((constant52_out1.clone()).unsqueeze_dims(&[0isize, 1isize]));
        let mul2_out1 = linear5_out1.mul(add7_out1);
        let mul3_out1 = mul2_out1
            .mul((constant53_out1.clone()).unsqueeze_dims(&[0isize, 1isize]));
        let linear6_out1 = self.linear6.forward(mul3_out1);
        let add8_out1 = linear6_out1.add(layernormalization2_out1);
        let layernormalization3_out1 = {
            let dtype = add8_out1.dtype();
            self.layernormalization3
                .forward(add8_out1.cast(burn::tensor::DType::F32))
                .cast(dtype)
        };
        let slice2_out1 = layernormalization3_out1.clone().slice(s![.., 0..1, ..]);
        let linear7_out1 = self.linear7.forward(slice2_out1.clone());
        let linear8_out1 = self.linear8.forward(layernormalization3_out1.clone());
        let linear9_out1 = self.linear9.forward(layernormalization3_out1);
        let reshape7_out1 = linear7_out1.reshape([0, 1, 2, 8]);
        let transpose5_out1 = reshape7_out1.permute([0, 2, 1, 3]);
        let reshape8_out1 = linear8_out1.reshape([0, 0, 2, 8]);
        let transpose6_out1 = reshape8_out1.permute([0, 2, 3, 1]);
        let reshape9_out1 = linear9_out1.reshape([0, 0, 2, 8]);
        let transpose7_out1 = reshape9_out1.permute([0, 2, 1, 3]);
        let matmul12_out1 = transpose5_out1.matmul(transpose6_out1);
        let div3_out1 = matmul12_out1
            .div((constant15_out1).unsqueeze_dims(&[0isize, 1isize, 2isize]));
        let add9_out1 = div3_out1.add(reshape2_out1);
        let softmax2_out1 = burn::tensor::activation::softmax(add9_out1, 3);
        let matmul13_out1 = softmax2_out1.matmul(transpose7_out1);
        let transpose8_out1 = matmul13_out1.permute([0, 2, 1, 3]);
        let reshape10_out1 = transpose8_out1.reshape([0, 1, 16]);
        let linear10_out1 = self.linear10.forward(reshape10_out1);
        let add10_out1 = linear10_out1.add(slice2_out1);
        let layernormalization4_out1 = {
            let dtype = add10_out1.dtype();
            self.layernormalization4
                .forward(add10_out1.cast(burn::tensor::DType::F32))
                .cast(dtype)
        };
        let linear11_out1 = self.linear11.forward(layernormalization4_out1.clone());
        let div4_out1 = linear11_out1
            .clone()
            .div((constant51_out1).unsqueeze_dims(&[0isize, 1isize]));
        let erf2_out1 = div4_out1.erf();
        let add11_out1 = erf2_out1
            .add((constant52_out1).unsqueeze_dims(&[0isize, 1isize]));
        let mul4_out1 = linear11_out1.mul(add11_out1);
        let mul5_out1 = mul4_out1
            .mul((constant53_out1).unsqueeze_dims(&[0isize, 1isize]));
        let linear12_out1 = self.linear12.forward(mul5_out1);
        let add12_out1 = linear12_out1.add(layernormalization4_out1);
        let layernormalization5_out1 = {
            let dtype = add12_out1.dtype();
            self.layernormalization5
                .forward(add12_out1.cast(burn::tensor::DType::F32))
                .cast(dtype)
        };
        let reshape11_out1 = layernormalization5_out1.reshape([0, 16]);
        let linear13_out1 = self.linear13.forward(reshape11_out1);
        let tanh1_out1 = linear13_out1.tanh();
        let linear14_out1 = self.linear14.forward(tanh1_out1.clone());
        let add13_out1 = linear14_out1.add((constant45_out1).unsqueeze_dims(&[0isize]));
        let reshape12_out1 = add13_out1.reshape([0]);
        (reshape12_out1, tanh1_out1)
    }
}
