//! CUDA devices of Burn, once everything they need is found.

use burn::tensor::{Device, DeviceType};

use super::probe::probe;
use super::{DeviceError, Found};

/// Makes sure that CUDA and the GPUs of these numbers are there and compute.
pub(super) fn open(indices: &[usize]) -> Result<Vec<Device>, DeviceError> {
    find().check(indices)?;
    indices.iter().map(|&index| probe(&format!("GPU {index}"), || Device::cuda(index))).collect()
}

/// Looks for the libraries and headers where Burn does.
#[allow(unsafe_code)]
fn find() -> Found {
    // SAFETY: both only ask the system's loader for the libraries by their names, as Burn does on its first kernel.
    let (driver, nvrtc) = unsafe { (cudarc::driver::sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present()) };
    // Of the headers that kernels include, one of each part of the toolkit: the runtime and CCCL.
    let headers = cubecl::cuda::install::cuda_path().is_some_and(|path| {
        let has = |header: &str| path.join("include").join(header).is_file();
        has("cuda_fp16.h") && (has("cccl/cuda/barrier") || has("cuda/barrier"))
    });
    // Without the driver, the number of GPUs cannot be asked for.
    let gpus = if driver { Device::enumerate(DeviceType::Cuda).into_iter().count() } else { 0 };
    Found { driver, nvrtc, headers, gpus }
}
