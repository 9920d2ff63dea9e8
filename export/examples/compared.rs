//! Writes the graphs of MBSD and of the models it is compared with, at base size and with initial weights:
//! `FOLDER/NAME/{image,transformer,whole}.onnx`.
//!
//! `cargo run --release -p mbsd-export --example compared FOLDER [NAME...]`, for some of the names only; all of them take 4 GB.

use std::path::Path;

use mbsd_export::compared::Compared;
use mbsd_export::onnx;
use mbsd_net::baselines::ResNetSize;
use mbsd_spec::Config;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("name a folder for the graphs")?;
    let wanted: Vec<String> = arguments.collect();
    if let Some(unknown) = wanted.iter().find(|name| Compared::ALL.iter().all(|model| model.to_string() != **name)) {
        let known: Vec<String> = Compared::ALL.iter().map(ToString::to_string).collect();
        return Err(format!("there is no model `{unknown}`; there are {}", known.join(", ")).into());
    }
    for model in Compared::ALL.into_iter().filter(|model| wanted.is_empty() || wanted.contains(&model.to_string())) {
        let folder = Path::new(&folder).join(model.to_string());
        std::fs::create_dir_all(&folder)?;
        for (part, graph) in model.graphs(&Config::base(), ResNetSize::RESNET_50)? {
            let path = folder.join(format!("{}.onnx", part.name()));
            let bytes = onnx::write(&graph, &path, &Default::default())?;
            println!("{}: {bytes} bytes", path.display());
        }
    }
    Ok(())
}
