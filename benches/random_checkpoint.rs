//! A checkpoint of the base size with random weights, to measure speed with:
//! `cargo run --example random_checkpoint -- FOLDER [--attention one-way]`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use mbsd_net::{Head, Mbsd};
use mbsd_spec::config::AttentionName;
use mbsd_spec::{Attention, Config};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (folder, attention) = match arguments.as_slice() {
        [folder] => (*folder, Attention::Full),
        [folder, "--attention", "one-way"] => (*folder, AttentionName::OneWay.with(None)?),
        _ => bail!("give a folder, and `--attention one-way` where products are to be read apart from tags"),
    };
    let folder = PathBuf::from(folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let config = Config { attention, ..Config::base() };
    mbsd_net::save(&Mbsd::init(&config, Head::Match, &Device::flex()), folder.join("model.safetensors"))?;
    fs::write(folder.join("config.json"), config.to_json())?;
    Ok(())
}
