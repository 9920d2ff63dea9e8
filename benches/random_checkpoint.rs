//! A checkpoint of the base size with random weights, to measure speed with: `cargo run --example random_checkpoint -- FOLDER`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use burn::tensor::Device;
use mbsd_net::{Head, Mbsd};
use mbsd_spec::Config;

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).context("give a folder")?);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let config = Config::base();
    mbsd_net::save(&Mbsd::init(&config, Head::Match, &Device::flex()), folder.join("model.safetensors"))?;
    fs::write(folder.join("config.json"), config.to_json())?;
    Ok(())
}
