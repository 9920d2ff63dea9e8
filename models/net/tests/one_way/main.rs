//! One-way attention equals one sequence, `title [SEP] image tag tag ...`, under a mask that lets tags see the product and
//! themselves.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Int, Tensor, TensorData, Tolerance, s};
use mbsd_net::{Context, Head, ImageInput, Mbsd, PatchInput, TagInput, TitleInput};
use mbsd_spec::Config;

const TITLE_POSITION: usize = 8;
const HIDDEN: f64 = -1e4;

fn config() -> Config {
    Config {
        hidden_size: 48,
        num_hidden_layers: 3,
        num_attention_heads: 6,
        intermediate_size: 80,
        vocab_size: 311,
        max_position_embeddings: 25,
        image_size: 48,
        patch_size: 16,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        ..Config::base()
    }
}

fn model(device: &Device) -> Mbsd {
    device.seed(5);
    Mbsd::init_with(&config(), Head::Match, 0.2, device)
}

fn ints<const D: usize>(shape: [usize; D], value: impl Fn(usize) -> i64, device: &Device) -> Tensor<D, Int> {
    let values: Vec<i64> = (0..shape.iter().product()).map(value).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Products of a batch of two, the second title shorter, the second image absent.
struct Products {
    title: Option<TitleInput>,
    pixels: Option<ImageInput>,
}

impl Products {
    fn new(title: bool, image: bool, device: &Device) -> Self {
        let text = 6;
        let mask = move |cell: usize| i64::from(cell / text == 0 || cell % text < 3);
        let side = config().image_size;
        let pixels = (0..2 * 3 * side * side).map(|cell| ((cell * 37 % 101) as f32 - 50.0) / 40.0).collect::<Vec<_>>();
        Self {
            title: title.then(|| TitleInput {
                input_ids: ints([2, text], |cell| mask(cell) * (7 + cell as i64 * 13 % 300), device),
                attention_mask: Some(ints([2, text], mask, device)),
            }),
            pixels: image.then(|| ImageInput {
                pixel_values: Tensor::from_data(TensorData::new(pixels, [2, 3, side, side]), device),
                present: title.then(|| Tensor::from_floats([1.0, 0.0], device)),
            }),
        }
    }

    fn context(&self, model: &Mbsd) -> Context {
        model.context(self.title.clone(), self.patches(model), TITLE_POSITION)
    }

    fn patches(&self, model: &Mbsd) -> Option<PatchInput> {
        self.pixels.clone().map(|ImageInput { pixel_values, present }| PatchInput {
            features: model.patch_features(pixel_values),
            present,
        })
    }
}

/// Three tags of four, two and three tokens for each of two products.
fn tags(device: &Device) -> TagInput {
    let lengths = [4, 2, 3];
    let real = move |cell: usize| i64::from(cell % 4 < lengths[cell / 4 % 3]);
    TagInput {
        tag_ids: ints([2, 3, 4], |cell| real(cell) * (3 + cell as i64 * 29 % 300), device),
        tag_mask: Some(ints([2, 3, 4], real, device)),
    }
}

/// Pooled vectors of the tags by one sequence of all tokens and one mask, `[batch, tags, hidden]`.
fn by_one_sequence(model: &Mbsd, products: &Products, tags: TagInput) -> Tensor<3> {
    let TagInput { tag_ids, tag_mask } = tags;
    let device = tag_ids.device();
    let [batch, count, text] = tag_ids.dims();
    let modality = |row: usize| model.modality.val().slice(s![row..row + 1]).unsqueeze::<3>();
    let embedded = |ids: Tensor<2, Int>, segment: i64, start: usize| {
        let [rows, tokens] = ids.dims();
        let segments = model.embeddings.segment.forward(ints([rows, tokens], |_| segment, &device));
        let places = model.embeddings.position.forward(ints([rows, tokens], |c| (start + c % tokens) as i64, &device));
        model.embeddings.norm.forward(model.embeddings.word.forward(ids) + segments + places) + modality(0)
    };
    let (mut tokens, mut seen) = (Vec::new(), Vec::new());
    if let Some(title) = &products.title {
        tokens.push(embedded(title.input_ids.clone(), 1, TITLE_POSITION));
        seen.push(title.attention_mask.clone().unwrap().float());
    }
    if let Some(PatchInput { features, present }) = products.patches(model) {
        let image = model.image.forward(features) + modality(1);
        let [_, length, _] = image.dims();
        let present = present.unwrap_or_else(|| Tensor::ones([batch], &device));
        tokens.push(image);
        seen.push(present.unsqueeze_dim::<2>(1).expand([batch, length]));
    }
    let context: usize = tokens.iter().map(|side| side.dims()[1]).sum();
    let own = embedded(tag_ids.reshape([batch * count, text]), 0, 0);
    let [_, _, width] = own.dims();
    tokens.push(own.reshape([batch, count * text, width]));
    seen.push(tag_mask.unwrap().reshape([batch, count * text]).float());

    let all = context + count * text;
    let allowed = ints(
        [all, all],
        |cell| {
            let (asks, answers) = (cell / all, cell % all);
            let tag = |place: usize| (place - context) / text;
            i64::from(answers < context || asks >= context && tag(asks) == tag(answers))
        },
        &device,
    );
    let seen =
        Tensor::cat(seen, 1).unsqueeze_dims::<3>(&[1]).expand([batch, all, all]) * allowed.float().unsqueeze::<3>();
    let mask = ((seen.neg() + 1.0) * HIDDEN).unsqueeze_dim::<4>(1);
    let states = model.encoder.forward(Tensor::cat(tokens, 1), Some(mask));
    let first = states.narrow(1, context, count * text).reshape([batch, count, text, width]).narrow(2, 0, 1);
    let first = first.reshape([batch * count, 1, width]);
    model.pooler.forward(first).reshape([batch, count, width])
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[test]
fn it_equals_one_sequence_under_a_mask() {
    let device = Device::flex();
    let model = model(&device);
    for (title, image) in [(true, true), (true, false), (false, true)] {
        let products = Products::new(title, image, &device);
        let expected = by_one_sequence(&model, &products, tags(&device));
        let found = model.pooled_tags(tags(&device), &products.context(&model));
        assert!(values(expected.clone()).iter().any(|value| value.abs() > 0.1), "the model says something");
        found.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-5));
    }
}

#[test]
fn the_training_kernel_computes_the_same_and_so_do_its_gradients() {
    let plain = Device::flex();
    let tracked = plain.clone().autodiff();
    let products = |device: &Device| Products::new(true, true, device);
    let model = model(&tracked);
    // Weights are drawn when they are first needed.
    model.pooled_tags(tags(&tracked), &products(&tracked).context(&model));
    let untracked = model.valid();
    let expected = untracked.pooled_tags(tags(&plain), &products(&plain).context(&untracked));

    let gradients = |pooled: &dyn Fn(&Mbsd) -> Tensor<3>| {
        let pooled = pooled(&model);
        let weights = ints(pooled.dims(), |cell| cell as i64 * 31 % 17 - 8, &tracked).float();
        let gradients = (pooled.clone() * weights).sum().backward();
        let of = |linear: &Linear| values(linear.weight.val().grad(&gradients).unwrap());
        let layers = &model.encoder.layer;
        let mut all = of(&layers[0].attention.key);
        all.extend(of(&layers[2].attention.query));
        all.extend(values(model.embeddings.word.weight.val().grad(&gradients).unwrap()));
        all.extend(values(model.image.position.val().grad(&gradients).unwrap()));
        (pooled, all)
    };
    let (found, by_kernel) = gradients(&|model| model.pooled_tags(tags(&tracked), &products(&tracked).context(model)));
    found.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-5));
    let (_, by_sequence) = gradients(&|model| by_one_sequence(model, &products(&tracked), tags(&tracked)));
    let largest = by_sequence.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    for (kernel, sequence) in by_kernel.iter().zip(&by_sequence) {
        assert!((kernel - sequence).abs() <= 1e-5 * largest.max(1.0), "{kernel} {sequence} of {largest}");
    }
}

#[test]
fn a_tag_knows_nothing_of_the_others() {
    let device = Device::flex();
    let model = model(&device);
    let context = Products::new(true, true, &device).context(&model);
    let all = values(model.tag_logits(model.pooled_tags(tags(&device), &context)));
    let TagInput { tag_ids, tag_mask } = tags(&device);
    let mask = tag_mask.unwrap();
    let order = [2, 0, 1];
    let moved = |ids: Tensor<3, Int>| Tensor::cat(order.map(|tag| ids.clone().narrow(1, tag, 1)).to_vec(), 1);
    let turned = TagInput { tag_ids: moved(tag_ids.clone()), tag_mask: Some(moved(mask.clone())) };
    let turned = values(model.tag_logits(model.pooled_tags(turned, &context)));
    for (place, tag) in order.into_iter().enumerate() {
        for product in 0..2 {
            assert_eq!(turned[product * 3 + place], all[product * 3 + tag], "in another order, to the bit");
        }
        let alone =
            TagInput { tag_ids: tag_ids.clone().narrow(1, tag, 1), tag_mask: Some(mask.clone().narrow(1, tag, 1)) };
        let alone = values(model.tag_logits(model.pooled_tags(alone, &context)));
        for product in 0..2 {
            assert!((alone[product] - all[product * 3 + tag]).abs() < 1e-6, "asked alone");
        }
    }
}
