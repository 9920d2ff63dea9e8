//! MBSD as Burn modules, and the names its weights have elsewhere.
//!
//! This is the only description of the architecture (`docs/architecture.md`): training differentiates
//! it, and the exporter captures it. Field paths become the names of exported nodes
//! (`encoder.layer.3.attention.query`). Uses `burn` and `mbsd-spec`; knows no data set and no engine.

mod arithmetic;
pub mod baselines;
pub mod encoder;
pub mod image;
mod initial;
mod kernels;
pub mod model;
mod network;
pub mod norm;
pub mod one_way;
pub mod reconstruction;
pub mod text;
pub mod weights;

pub use arithmetic::Arithmetic;
pub use image::{ImageInput, PatchInput};
pub use initial::STANDARD_DEVIATION;
pub use model::{Encoded, Head, Mbsd, hidden_positions};
pub use network::Network;
pub use one_way::{Context, TagInput, TitleInput};
pub use reconstruction::{MaskedPatches, Reconstruction, patches_of};
pub use text::TextInput;
pub use weights::{
    WeightsError, WeightsReport, load, load_encoder, load_network, load_network_encoder, load_pretraining, save,
    save_network,
};
