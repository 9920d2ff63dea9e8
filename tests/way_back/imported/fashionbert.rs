// Generated from ONNX "fashionbert.onnx" by burn-onnx
extern crate alloc;
use burn::prelude::*;
use burn::nn::LayerNorm;
use burn::nn::LayerNormConfig;
use burn::nn::Linear;
use burn::nn::LinearConfig;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::nn::conv::Conv2dConfig;
use burn::nn::pool::MaxPool2d;
use burn::nn::pool::MaxPool2dConfig;
use burn::tensor::Bytes;
use burn_store::BurnpackStore;
use burn_store::ModuleSnapshot;


#[derive(Module, Debug)]
pub struct Model {
    constant37: burn::module::Param<Tensor<2>>,
    constant38: burn::module::Param<Tensor<1>>,
    constant41: burn::module::Param<Tensor<1>>,
    constant42: burn::module::Param<Tensor<1>>,
    constant43: burn::module::Param<Tensor<2>>,
    constant44: burn::module::Param<Tensor<2>>,
    constant45: burn::module::Param<Tensor<2>>,
    constant54: burn::module::Param<Tensor<1>>,
    constant94: burn::module::Param<Tensor<1>>,
    constant95: burn::module::Param<Tensor<1>>,
    constant96: burn::module::Param<Tensor<1>>,
    conv2d1: Conv2d,
    maxpool2d1: MaxPool2d,
    conv2d2: Conv2d,
    conv2d3: Conv2d,
    conv2d4: Conv2d,
    conv2d5: Conv2d,
    conv2d6: Conv2d,
    conv2d7: Conv2d,
    conv2d8: Conv2d,
    conv2d9: Conv2d,
    conv2d10: Conv2d,
    conv2d11: Conv2d,
    conv2d12: Conv2d,
    conv2d13: Conv2d,
    conv2d14: Conv2d,
    conv2d15: Conv2d,
    conv2d16: Conv2d,
    conv2d17: Conv2d,
    linear1: Linear,
    layernormalization1: LayerNorm,
    layernormalization2: LayerNorm,
    linear2: Linear,
    linear3: Linear,
    linear4: Linear,
    linear5: Linear,
    layernormalization3: LayerNorm,
    linear6: Linear,
    linear7: Linear,
    layernormalization4: LayerNorm,
    linear8: Linear,
    linear9: Linear,
    linear10: Linear,
    linear11: Linear,
    layernormalization5: LayerNorm,
    linear12: Linear,
    linear13: Linear,
    layernormalization6: LayerNorm,
    linear14: Linear,
    linear15: Linear,
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
        let constant37: burn::module::Param<Tensor<2>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                2,
            >::zeros([16, 16], (device, burn::tensor::DType::F32)),
            device.clone(),
            false,
            [16, 16].into(),
        );
        let constant38: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                1,
            >::zeros([16], (device, burn::tensor::DType::F32)),
            device.clone(),
            false,
            [16].into(),
        );
        let constant41: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
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
        let constant42: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
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
        let constant43: burn::module::Param<Tensor<2>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                2,
            >::zeros([11, 16], (device, burn::tensor::DType::F32)),
            device.clone(),
            false,
            [11, 16].into(),
        );
        let constant44: burn::module::Param<Tensor<2>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                2,
            >::zeros([29, 16], (device, burn::tensor::DType::F32)),
            device.clone(),
            false,
            [29, 16].into(),
        );
        let constant45: burn::module::Param<Tensor<2>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                2,
            >::zeros([2, 16], (device, burn::tensor::DType::F32)),
            device.clone(),
            false,
            [2, 16].into(),
        );
        let constant54: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
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
        let constant94: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
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
        let constant95: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
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
        let constant96: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
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
        let conv2d1 = Conv2dConfig::new([3, 2], [7, 7])
            .with_stride([2, 2])
            .with_padding(PaddingConfig2d::Explicit(3, 3, 3, 3))
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let maxpool2d1 = MaxPool2dConfig::new([3, 3])
            .with_strides([2, 2])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_dilation([1, 1])
            .with_ceil_mode(false)
            .init();
        let conv2d2 = Conv2dConfig::new([2, 2], [1, 1])
            .with_stride([1, 1])
            .with_padding(PaddingConfig2d::Valid)
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d3 = Conv2dConfig::new([2, 2], [3, 3])
            .with_stride([1, 1])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d4 = Conv2dConfig::new([2, 8], [1, 1])
            .with_stride([1, 1])
            .with_padding(PaddingConfig2d::Valid)
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d5 = Conv2dConfig::new([2, 8], [1, 1])
            .with_stride([1, 1])
            .with_padding(PaddingConfig2d::Valid)
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d6 = Conv2dConfig::new([8, 4], [1, 1])
            .with_stride([1, 1])
            .with_padding(PaddingConfig2d::Valid)
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d7 = Conv2dConfig::new([4, 4], [3, 3])
            .with_stride([2, 2])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d8 = Conv2dConfig::new([8, 16], [1, 1])
            .with_stride([2, 2])
            .with_padding(PaddingConfig2d::Valid)
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d9 = Conv2dConfig::new([4, 16], [1, 1])
            .with_stride([1, 1])
            .with_padding(PaddingConfig2d::Valid)
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d10 = Conv2dConfig::new([16, 8], [1, 1])
            .with_stride([1, 1])
            .with_padding(PaddingConfig2d::Valid)
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d11 = Conv2dConfig::new([8, 8], [3, 3])
            .with_stride([2, 2])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d12 = Conv2dConfig::new([16, 32], [1, 1])
            .with_stride([2, 2])
            .with_padding(PaddingConfig2d::Valid)
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d13 = Conv2dConfig::new([8, 32], [1, 1])
            .with_stride([1, 1])
            .with_padding(PaddingConfig2d::Valid)
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d14 = Conv2dConfig::new([32, 16], [1, 1])
            .with_stride([1, 1])
            .with_padding(PaddingConfig2d::Valid)
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d15 = Conv2dConfig::new([16, 16], [3, 3])
            .with_stride([2, 2])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d16 = Conv2dConfig::new([32, 64], [1, 1])
            .with_stride([2, 2])
            .with_padding(PaddingConfig2d::Valid)
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d17 = Conv2dConfig::new([16, 64], [1, 1])
            .with_stride([1, 1])
            .with_padding(PaddingConfig2d::Valid)
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let linear1 = LinearConfig::new(64, 16).with_bias(true).init(device);
        let layernormalization1 = LayerNormConfig::new(16)
            .with_epsilon(0.0000000000009999999960041972f64)
            .with_bias(true)
            .init(device);
        let layernormalization2 = LayerNormConfig::new(16)
            .with_epsilon(0.0000000000009999999960041972f64)
            .with_bias(true)
            .init(device);
        let linear2 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let linear3 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let linear4 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let linear5 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let layernormalization3 = LayerNormConfig::new(16)
            .with_epsilon(0.0000000000009999999960041972f64)
            .with_bias(true)
            .init(device);
        let linear6 = LinearConfig::new(16, 24).with_bias(true).init(device);
        let linear7 = LinearConfig::new(24, 16).with_bias(true).init(device);
        let layernormalization4 = LayerNormConfig::new(16)
            .with_epsilon(0.0000000000009999999960041972f64)
            .with_bias(true)
            .init(device);
        let linear8 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let linear9 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let linear10 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let linear11 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let layernormalization5 = LayerNormConfig::new(16)
            .with_epsilon(0.0000000000009999999960041972f64)
            .with_bias(true)
            .init(device);
        let linear12 = LinearConfig::new(16, 24).with_bias(true).init(device);
        let linear13 = LinearConfig::new(24, 16).with_bias(true).init(device);
        let layernormalization6 = LayerNormConfig::new(16)
            .with_epsilon(0.0000000000009999999960041972f64)
            .with_bias(true)
            .init(device);
        let linear14 = LinearConfig::new(16, 16).with_bias(true).init(device);
        let linear15 = LinearConfig::new(16, 3).with_bias(true).init(device);
        Self {
            constant37,
            constant38,
            constant41,
            constant42,
            constant43,
            constant44,
            constant45,
            constant54,
            constant94,
            constant95,
            constant96,
            conv2d1,
            maxpool2d1,
            conv2d2,
            conv2d3,
            conv2d4,
            conv2d5,
            conv2d6,
            conv2d7,
            conv2d8,
            conv2d9,
            conv2d10,
            conv2d11,
            conv2d12,
            conv2d13,
            conv2d14,
            conv2d15,
            conv2d16,
            conv2d17,
            linear1,
            layernormalization1,
            layernormalization2,
            linear2,
            linear3,
            linear4,
            linear5,
            layernormalization3,
            linear6,
            linear7,
            layernormalization4,
            linear8,
            linear9,
            linear10,
            linear11,
            layernormalization5,
            linear12,
            linear13,
            layernormalization6,
            linear14,
            linear15,
            device: device.clone(),
        }
    }

    #[allow(clippy::let_and_return, clippy::approx_constant)]
    pub fn forward(
        &self,
        input_ids: Tensor<2, Int>,
        attention_mask: Tensor<2, Int>,
        token_type_ids: Tensor<2, Int>,
        pixel_values: Tensor<4>,
    ) -> Tensor<2> {
        let constant37_out1 = self.constant37.val();
        let constant38_out1 = self.constant38.val();
        let constant41_out1 = self.constant41.val();
        let constant42_out1 = self.constant42.val();
        let constant43_out1 = self.constant43.val();
        let constant44_out1 = self.constant44.val();
        let constant45_out1 = self.constant45.val();
        let constant54_out1 = self.constant54.val();
        let constant88_out1: [i64; 1] = [16i64];
        let constant94_out1 = self.constant94.val();
        let constant95_out1 = self.constant95.val();
        let constant96_out1 = self.constant96.val();
        let reshape1_out1 = pixel_values.reshape([0, 3, 4, 8, 4, 8]);
        let transpose1_out1 = reshape1_out1.permute([0, 2, 4, 1, 3, 5]);
        let reshape2_out1 = transpose1_out1.reshape([-1, 3, 8, 8]);
        let conv2d1_out1 = self.conv2d1.forward(reshape2_out1);
        let relu1_out1 = burn::tensor::activation::relu(conv2d1_out1);
        let maxpool2d1_out1 = self.maxpool2d1.forward(relu1_out1);
        let conv2d2_out1 = self.conv2d2.forward(maxpool2d1_out1.clone());
        let relu2_out1 = burn::tensor::activation::relu(conv2d2_out1);
        let conv2d3_out1 = self.conv2d3.forward(relu2_out1);
        let relu3_out1 = burn::tensor::activation::relu(conv2d3_out1);
        let conv2d4_out1 = self.conv2d4.forward(maxpool2d1_out1);
        let conv2d5_out1 = self.conv2d5.forward(relu3_out1);
        let add1_out1 = conv2d5_out1.add(conv2d4_out1);
        let relu4_out1 = burn::tensor::activation::relu(add1_out1);
        let conv2d6_out1 = self.conv2d6.forward(relu4_out1.clone());
        let relu5_out1 = burn::tensor::activation::relu(conv2d6_out1);
        let conv2d7_out1 = self.conv2d7.forward(relu5_out1);
        let relu6_out1 = burn::tensor::activation::relu(conv2d7_out1);
        let conv2d8_out1 = self.conv2d8.forward(relu4_out1);
        let conv2d9_out1 = self.conv2d9.forward(relu6_out1);
        let add2_out1 = conv2d9_out1.add(conv2d8_out1);
        let relu7_out1 = burn::tensor::activation::relu(add2_out1);
        let conv2d10_out1 = self.conv2d10.forward(relu7_out1.clone());
        let relu8_out1 = burn::tensor::activation::relu(conv2d10_out1);
        let conv2d11_out1 = self.conv2d11.forward(relu8_out1);
        let relu9_out1 = burn::tensor::activation::relu(conv2d11_out1);
        let conv2d12_out1 = self.conv2d12.forward(relu7_out1);
        let conv2d13_out1 = self.conv2d13.forward(relu9_out1);
        let add3_out1 = conv2d13_out1.add(conv2d12_out1);
        let relu10_out1 = burn::tensor::activation::relu(add3_out1);
        let conv2d14_out1 = self.conv2d14.forward(relu10_out1.clone());
        let relu11_out1 = burn::tensor::activation::relu(conv2d14_out1);
        let conv2d15_out1 = self.conv2d15.forward(relu11_out1);
        let relu12_out1 = burn::tensor::activation::relu(conv2d15_out1);
        let conv2d16_out1 = self.conv2d16.forward(relu10_out1);
        let conv2d17_out1 = self.conv2d17.forward(relu12_out1);
        let add4_out1 = conv2d17_out1.add(conv2d16_out1);
        let relu13_out1 = burn::tensor::activation::relu(add4_out1);
        let reducemean1_out1 = { relu13_out1.mean_dim(2usize).mean_dim(3usize) };
        let reshape3_out1 = reducemean1_out1.reshape([-1, 16, 64]);
        let linear1_out1 = self.linear1.forward(reshape3_out1);
        let add5_out1 = linear1_out1.add((constant37_out1).unsqueeze_dims(&[0isize]));
        let add6_out1 = add5_out1
            .add((constant38_out1).unsqueeze_dims(&[0isize, 1isize]));
        let layernormalization1_out1 = {
            let dtype = add6_out1.dtype();
            self.layernormalization1
                .forward(add6_out1.cast(burn::tensor::DType::F32))
                .cast(dtype)
        };
        let shape1_out1: [i64; 1] = {
            let axes = &input_ids.clone().dims()[0..1];
            let mut output = [0i64; 1];
            for i in 0..1 {
                output[i] = axes[i] as i64;
            }
            output
        };
        let concat1_out1: [i64; 2usize] = [&shape1_out1[..], &constant88_out1[..]]
            .concat()
            .try_into()
            .unwrap();
        let constantofshape1_out1 = Tensor::<
            1,
        >::from_data(
                burn::tensor::TensorData::from([0f32 as f64]),
                (&self.device, burn::tensor::DType::F32),
            )
            .reshape([1, 1])
            .expand(concat1_out1);
        let cast1_out1 = attention_mask.float().cast(burn::tensor::DType::F32);
        let neg1_out1 = cast1_out1.neg();
        let add7_out1 = neg1_out1.add((constant41_out1).unsqueeze_dims(&[0isize]));
        let mul1_out1 = add7_out1.mul((constant42_out1).unsqueeze_dims(&[0isize]));
        let concat2_out1 = burn::tensor::Tensor::cat(
            [mul1_out1, constantofshape1_out1].into(),
            1,
        );
        let reshape4_out1 = concat2_out1.reshape([0, 1, 1, -1]);
        let shape2_out1: [i64; 1] = {
            let axes = &input_ids.clone().dims()[1..2];
            let mut output = [0i64; 1];
            for i in 0..1 {
                output[i] = axes[i] as i64;
            }
            output
        };
        let slice1_out1 = constant43_out1.slice(s![0..shape2_out1[0], ..]);
        let reshape5_out1 = slice1_out1.reshape([1, -1, 16]);
        let gather1_out1 = {
            let axis_size = constant44_out1.dims()[0] as i64;
            let negative = input_ids.clone().lower_elem(0i64);
            let corrected = input_ids.clone() + axis_size;
            let indices = input_ids.mask_where(negative, corrected);
            constant44_out1.take::<2, 3>(0, indices)
        };
        let gather2_out1 = {
            let axis_size = constant45_out1.dims()[0] as i64;
            let negative = token_type_ids.clone().lower_elem(0i64);
            let corrected = token_type_ids.clone() + axis_size;
            let indices = token_type_ids.mask_where(negative, corrected);
            constant45_out1.take::<2, 3>(0, indices)
        };
        let add8_out1 = gather1_out1.add(gather2_out1);
        let add9_out1 = add8_out1.add(reshape5_out1);
        let layernormalization2_out1 = {
            let dtype = add9_out1.dtype();
            self.layernormalization2
                .forward(add9_out1.cast(burn::tensor::DType::F32))
                .cast(dtype)
        };
        let concat3_out1 = burn::tensor::Tensor::cat(
            [layernormalization2_out1, layernormalization1_out1].into(),
            1,
        );
        let linear2_out1 = self.linear2.forward(concat3_out1.clone());
        let linear3_out1 = self.linear3.forward(concat3_out1.clone());
        let linear4_out1 = self.linear4.forward(concat3_out1.clone());
        let reshape6_out1 = linear2_out1.reshape([0, 0, 2, 8]);
        let transpose2_out1 = reshape6_out1.permute([0, 2, 1, 3]);
        let reshape7_out1 = linear3_out1.reshape([0, 0, 2, 8]);
        let transpose3_out1 = reshape7_out1.permute([0, 2, 3, 1]);
        let reshape8_out1 = linear4_out1.reshape([0, 0, 2, 8]);
        let transpose4_out1 = reshape8_out1.permute([0, 2, 1, 3]);
        let matmul5_out1 = transpose2_out1.matmul(transpose3_out1);
        let div1_out1 = matmul5_out1
            .div((constant54_out1.clone()).unsqueeze_dims(&[0isize, 1isize, 2isize]));
        let add10_out1 = div1_out1.add(reshape4_out1.clone());
        let softmax1_out1 = burn::tensor::activation::softmax(add10_out1, 3);
        let matmul6_out1 = softmax1_out1.matmul(transpose4_out1);
        let transpose5_out1 = matmul6_out1.permute([0, 2, 1, 3]);
        let reshape9_out1 = transpose5_out1.reshape([0, 0, 16]);
        let linear5_out1 = self.linear5.forward(reshape9_out1);
        let add11_out1 = linear5_out1.add(concat3_out1);
        let layernormalization3_out1 = {
            let dtype = add11_out1.dtype();
            self.layernormalization3
                .forward(add11_out1.cast(burn::tensor::DType::F32))
                .cast(dtype)
        };
        let linear6_out1 = self.linear6.forward(layernormalization3_out1.clone());
        let div2_out1 = linear6_out1
            .clone()
            .div((constant94_out1.clone()).unsqueeze_dims(&[0isize, 1isize]));
        let erf1_out1 = div2_out1.erf();
        let add12_out1 = erf1_out1
            .add((constant95_out1.clone()).unsqueeze_dims(&[0isize, 1isize]));
        let mul2_out1 = linear6_out1.mul(add12_out1);
        let mul3_out1 = mul2_out1
            .mul((constant96_out1.clone()).unsqueeze_dims(&[0isize, 1isize]));
        let linear7_out1 = self.linear7.forward(mul3_out1);
        let add13_out1 = linear7_out1.add(layernormalization3_out1);
        let layernormalization4_out1 = {
            let dtype = add13_out1.dtype();
            self.layernormalization4
                .forward(add13_out1.cast(burn::tensor::DType::F32))
                .cast(dtype)
        };
        let slice2_out1 = layernormalization4_out1.clone().slice(s![.., 0..1, ..]);
        let linear8_out1 = self.linear8.forward(slice2_out1.clone());
        let linear9_out1 = self.linear9.forward(layernormalization4_out1.clone());
        let linear10_out1 = self.linear10.forward(layernormalization4_out1);
        let reshape10_out1 = linear8_out1.reshape([0, 1, 2, 8]);
        let transpose6_out1 = reshape10_out1.permute([0, 2, 1, 3]);
        let reshape11_out1 = linear9_out1.reshape([0, 0, 2, 8]);
        let transpose7_out1 = reshape11_out1.permute([0, 2, 3, 1]);
        let reshape12_out1 = linear10_out1.reshape([0, 0, 2, 8]);
        let transpose8_out1 = reshape12_out1.permute([0, 2, 1, 3]);
        let matmul13_out1 = transpose6_out1.matmul(transpose7_out1);
        let div3_out1 = matmul13_out1
            .div((constant54_out1).unsqueeze_dims(&[0isize, 1isize, 2isize]));
        let add14_out1 = div3_out1.add(reshape4_out1);
        let softmax2_out1 = burn::tensor::activation::softmax(add14_out1, 3);
        let matmul14_out1 = softmax2_out1.matmul(transpose8_out1);
        let transpose9_out1 = matmul14_out1.permute([0, 2, 1, 3]);
        let reshape13_out1 = transpose9_out1.reshape([0, 1, 16]);
        let linear11_out1 = self.linear11.forward(reshape13_out1);
        let add15_out1 = linear11_out1.add(slice2_out1);
        let layernormalization5_out1 = {
            let dtype = add15_out1.dtype();
            self.layernormalization5
                .forward(add15_out1.cast(burn::tensor::DType::F32))
                .cast(dtype)
        };
        let linear12_out1 = self.linear12.forward(layernormalization5_out1.clone());
        let div4_out1 = linear12_out1
            .clone()
            .div((constant94_out1).unsqueeze_dims(&[0isize, 1isize]));
        let erf2_out1 = div4_out1.erf();
        let add16_out1 = erf2_out1
            .add((constant95_out1).unsqueeze_dims(&[0isize, 1isize]));
        let mul4_out1 = linear12_out1.mul(add16_out1);
        let mul5_out1 = mul4_out1
            .mul((constant96_out1).unsqueeze_dims(&[0isize, 1isize]));
        let linear13_out1 = self.linear13.forward(mul5_out1);
        let add17_out1 = linear13_out1.add(layernormalization5_out1);
        let layernormalization6_out1 = {
            let dtype = add17_out1.dtype();
            self.layernormalization6
                .forward(add17_out1.cast(burn::tensor::DType::F32))
                .cast(dtype)
        };
        let reshape14_out1 = layernormalization6_out1.reshape([0, 16]);
        let linear14_out1 = self.linear14.forward(reshape14_out1);
        let tanh1_out1 = linear14_out1.tanh();
        let linear15_out1 = self.linear15.forward(tanh1_out1);
        linear15_out1
    }
}
