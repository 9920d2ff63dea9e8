//! CUDA devices of Burn, once everything they need is found.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use burn::tensor::{Device, DeviceType, Tensor};

use super::{DeviceError, Found};

/// Makes sure that CUDA and the GPUs of these numbers are there and compute.
pub(super) fn open(indices: &[usize]) -> Result<Vec<Device>, DeviceError> {
    find().check(indices)?;
    indices.iter().map(|&index| try_out(index)).collect()
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

/// Compiles and runs a first kernel: Burn panics where the driver is too old for NVRTC's code or the GPU for the kernel,
/// and would do so only after the data were read.
fn try_out(index: usize) -> Result<Device, DeviceError> {
    let device = Device::cuda(index);
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let sum = catch_unwind(AssertUnwindSafe(|| Tensor::<1>::ones([8], &device).sum().into_scalar::<f32>()));
    set_hook(hook);
    match sum {
        Ok(8.0) => Ok(device),
        Ok(other) => {
            Err(DeviceError::Unusable { index, reason: format!("the sum of eight ones comes out as {other}") })
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("its first kernel failed");
            Err(DeviceError::Unusable { index, reason: text.to_owned() })
        }
    }
}
