//! Training speed on made-up batches of given shapes: one JSON line with samples/s, as `peers/train_speed.py` prints it. With
//! `--tags`, products are read apart from their tags, and a sample is a pair of both.
//!
//! A step is forward, backward, clipping and AdamW; making batches is left out, moving them to a GPU is not.
//! `peers/train_in_turns.py` runs both in turns and prints the ratio.

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use clap::{Parser, ValueEnum};
use mbsd_net::weights::visit_parameters;
use mbsd_net::{Arithmetic, Head, ImageInput, Mbsd, PatchInput, TagInput, TextInput, TitleInput};
use mbsd_spec::Config;
use mbsd_train::device::DeviceChoice;
use mbsd_train::objective::{Losses, binary_cross_entropy};
use mbsd_train::optim::{Optimizer, Schedule};
use mbsd_train::parallel::gradients;
use mbsd_train::run::{OptimizerName, OptimizerSettings};
use mbsd_train::trainer::{Trainer, initialized};

#[derive(Debug, Parser)]
struct Arguments {
    /// 4 x 192 (fashion-match.toml) or 12 x 768.
    #[arg(long, value_enum, default_value = "small")]
    size: Size,
    /// 64 for small, 224 for base by default.
    #[arg(long)]
    image_size: Option<usize>,
    /// 16 for small, 32 for base by default.
    #[arg(long)]
    patch: Option<usize>,
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Tokens of successive batches, 8,10,12.
    #[arg(long, value_delimiter = ',', default_value = "8,10,12,14")]
    text: Vec<usize>,
    /// Tags of each product, read apart from it (one-way attention); without it each row is one sequence.
    #[arg(long)]
    tags: Option<usize>,
    /// With --tags: tokens of a tag; the title has what is left of --text.
    #[arg(long, default_value_t = 5)]
    tag_text: usize,
    /// The text graph alone.
    #[arg(long)]
    without_image: bool,
    #[arg(long, default_value_t = 0.1)]
    dropout: f64,
    /// With a mask, as batches of unequal rows have it.
    #[arg(long)]
    padded: bool,
    /// cpu, cuda, cuda:0,1 or webgpu.
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    #[arg(long, value_enum, default_value = "f32")]
    dtype: Type,
    /// Threads on a CPU.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Steps before measuring, at least two of each length.
    #[arg(long, default_value_t = 10)]
    warm_up: usize,
    #[arg(long, default_value_t = 50)]
    steps: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Size {
    Small,
    Base,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Type {
    F32,
    Bf16,
}

impl Arguments {
    fn config(&self) -> Config {
        let base =
            Config { hidden_dropout_prob: self.dropout, attention_probs_dropout_prob: self.dropout, ..Config::base() };
        let config = match self.size {
            Size::Base => base,
            Size::Small => Config {
                vocab_size: 6000,
                hidden_size: 192,
                num_hidden_layers: 4,
                num_attention_heads: 4,
                intermediate_size: 768,
                max_position_embeddings: 64,
                image_size: 64,
                patch_size: 16,
                ..base
            },
        };
        Config {
            image_size: self.image_size.unwrap_or(config.image_size),
            patch_size: self.patch.unwrap_or(config.patch_size),
            ..config
        }
    }
}

/// A batch on the host, row-major.
#[derive(Clone)]
struct Batch {
    rows: usize,
    tokens: usize,
    /// Tags of each row and tokens of each, beside `tokens` of the title.
    tags: Option<(usize, usize)>,
    ids: Vec<i64>,
    mask: Option<Vec<i64>>,
    pixels: Option<(Vec<f32>, usize)>,
    labels: Vec<f32>,
}

impl Batch {
    fn new(arguments: &Arguments, config: &Config, tokens: usize) -> Self {
        let rows = arguments.batch;
        let tags = arguments.tags.map(|tags| (tags, arguments.tag_text));
        let tokens = tokens - tags.map_or(0, |(_, text)| text);
        let all = tokens + tags.map_or(0, |(tags, text)| tags * text);
        let random = |count: usize, most: f64| -> Vec<f32> {
            let values = Tensor::<1>::random([count], Distribution::Uniform(0.0, most), &Device::flex());
            values.into_data().iter::<f32>().collect()
        };
        let ordinary = config.vocab_size as f64 - 5.0;
        let kept = |row: usize| if row.is_multiple_of(2) { tokens - (tokens / 4).max(1) } else { tokens };
        let side = config.image_size;
        Self {
            rows,
            tokens,
            tags,
            ids: random(rows * all, ordinary).into_iter().map(|id| 5 + id as i64).collect(),
            mask: arguments.padded.then(|| {
                (0..rows).flat_map(|row| (0..tokens).map(move |token| i64::from(token < kept(row)))).collect()
            }),
            pixels: (!arguments.without_image)
                .then(|| (random(rows * 3 * side * side, 2.0).into_iter().map(|pixel| pixel - 1.0).collect(), side)),
            labels: random(rows * tags.map_or(1, |(tags, _)| tags), 2.0).into_iter().map(f32::floor).collect(),
        }
    }

    fn loss(self, model: &Mbsd, device: &Device) -> Losses {
        let Self { rows, tokens, tags, mut ids, mask, pixels, labels } = self;
        let of_tags = ids.split_off(rows * tokens);
        let ints = |values: Vec<i64>| Tensor::<2, Int>::from_data(TensorData::new(values, [rows, tokens]), device);
        let (input_ids, attention_mask) = (ints(ids), mask.map(ints));
        let image = pixels.map(|(pixels, side)| ImageInput {
            pixel_values: Tensor::from_data(TensorData::new(pixels, [rows, 3, side, side]), device),
            present: None,
        });
        let pairs = labels.len();
        let labels = Tensor::from_data(TensorData::new(labels, [pairs]), device);
        let logits = match tags {
            None => {
                let text = TextInput { input_ids, attention_mask, token_type_ids: None };
                model.match_logits(model.pooled(Some(text), image))
            }
            Some((tags, text)) => {
                let patches = image.map(|ImageInput { pixel_values, present }| PatchInput {
                    features: model.patch_features(pixel_values),
                    present,
                });
                let title = Some(TitleInput { input_ids, attention_mask });
                let context = model.context(title, patches, text);
                let tag_ids = Tensor::from_data(TensorData::new(of_tags, [rows, tags, text]), device);
                let pooled = model.pooled_tags(TagInput { tag_ids, tag_mask: None }, &context);
                model.tag_logits(pooled).reshape([pairs])
            }
        };
        Losses { total: binary_cross_entropy(logits, labels, 0.0), terms: Vec::new() }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let config = arguments.config();
    let config = config.validated()?;
    if arguments.text.iter().any(|&tokens| tokens > config.max_position_embeddings) {
        bail!("--text takes at most {} tokens", config.max_position_embeddings);
    }
    let least = if arguments.tags.is_some() { arguments.tag_text + 1 } else { 2 };
    if arguments.text.iter().any(|&tokens| tokens < least) || arguments.tags == Some(0) || arguments.tag_text == 0 {
        bail!("--text takes {least} tokens at least, --tags and --tag-text 1");
    }
    ensure!(arguments.batch > 0 && arguments.steps > 0 && arguments.threads > 0, "there is nothing to measure");
    rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global()?;
    let devices: Vec<Device> = arguments.device.open()?.into_iter().map(Device::autodiff).collect();
    ensure!(devices.len() == 1, "name one device");
    let device = &devices[0];
    device.seed(0);

    let arithmetic = if arguments.dtype == Type::Bf16 { Arithmetic::Bf16 } else { Arithmetic::F32 };
    let model = initialized(Mbsd::init(&config, Head::Match, device)).with_arithmetic(arithmetic);
    let named = visit_parameters(&model);
    let parameters: usize = named.iter().map(|p| p.shape.iter().product::<usize>()).sum();
    let settings =
        OptimizerSettings { name: OptimizerName::AdamW, learning_rate: 1e-5, ..OptimizerSettings::default() };
    let optimizer = Optimizer::new(&settings, named);
    let mut trainer = Trainer::new(model, optimizer, Schedule::new(1e-5, 0.1, 1_000_000), 100_000);
    let batches: Vec<Batch> = arguments.text.iter().map(|&tokens| Batch::new(&arguments, &config, tokens)).collect();

    let mut step = |index: usize| -> Result<f64> {
        let batch = batches[index % batches.len()].clone();
        let computed =
            gradients(trainer.model(), &devices, vec![batch], |model, batch, device| batch.loss(model, device));
        trainer.add(computed.loss, computed.gradients, &[])?;
        Ok(trainer.step()?.loss)
    };
    let mut losses = Vec::new();
    for index in 0..arguments.warm_up.max(2 * batches.len()) {
        losses.push(step(index)?);
    }
    // The clock is read once a round of all lengths.
    let mut rounds = Vec::new();
    for first in (0..arguments.steps).step_by(batches.len()) {
        let start = Instant::now();
        for index in first..first + batches.len() {
            losses.push(step(index)?);
        }
        rounds.push(
            (batches.len() * arguments.batch * arguments.tags.unwrap_or(1)) as f64 / start.elapsed().as_secs_f64(),
        );
    }
    rounds.sort_by(f64::total_cmp);
    let report = serde_json::json!({
        "size": format!("{:?}", arguments.size).to_lowercase(),
        "batch": arguments.batch,
        "text": arguments.text,
        "tags": arguments.tags,
        "without_image": arguments.without_image,
        "dropout": arguments.dropout,
        "padded": arguments.padded,
        "device": format!("{:?}", arguments.device),
        "dtype": format!("{:?}", arguments.dtype).to_lowercase(),
        "threads": arguments.threads,
        "image_size": config.image_size,
        "patch": config.patch_size,
        "parameters": parameters,
        "samples_per_second": rounds[rounds.len() / 2],
        "slowest_and_fastest_round": [rounds[0], rounds[rounds.len() - 1]],
        "rounds": rounds.len(),
        "last_loss": losses.last(),
    });
    println!("{report}");
    Ok(())
}
