use burn::tensor::Device;
use mbsd_spec::*;
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).unwrap();
    let m: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(format!("{dir}/manifest.json"))?)?;
    let mut config = Config::base();
    config.hidden_size = 32; config.num_hidden_layers = 2; config.num_attention_heads = 4; config.intermediate_size = 64; config.vocab_size = 200; config.max_position_embeddings = 40; config.image_size = 96;
    let _ = m;
    for (case, variants) in [("classification", &["full", "text", "image"][..]), ("match", &["full", "text", "image"]), ("alignment", &["full", "pair"])] {
        let t = std::time::Instant::now();
        let (model, _) = mbsd_net::load(format!("{dir}/{case}.weights.safetensors"), &config, None, &Device::flex())?;
        for v in variants {
            let g = mbsd_export::mbsd::compile(&model, &config, v.parse()?)?;
            if case == "match" && *v == "full" { println!("{g}"); }
            let n = mbsd_export::onnx::write(&g, format!("/tmp/spike/{case}.{v}.onnx"), &mbsd_export::onnx::WriteOptions { name: format!("{case}.{v}"), metadata: vec![] })?;
            println!("{case} {v}: {} nodes {} bytes {:?}", g.nodes.len(), n, t.elapsed());
        }
    }
    Ok(())
}
