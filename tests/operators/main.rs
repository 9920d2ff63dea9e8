//! Every operation that the compiler lowers, from capture to ONNX, through every engine against Burn.

mod activations;
mod case;
mod layers;
mod recurrent;
mod tensors;
mod windows;
