//! Whether a GPU computes at all, by a first kernel.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use burn::tensor::{Device, Tensor};

use super::DeviceError;

/// A device that has compiled and run a kernel: Burn panics where there is no GPU, the driver is too old for the compiler's code or
/// the GPU for the kernel, and would do so only after the data were read.
pub(super) fn probe(name: &str, device: impl FnOnce() -> Device) -> Result<Device, DeviceError> {
    let unusable = |reason: &str| DeviceError::Unusable { device: name.to_owned(), reason: reason.to_owned() };
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let sum = catch_unwind(AssertUnwindSafe(|| {
        let device = device();
        let sum = Tensor::<1>::ones([8], &device).sum().into_scalar::<f32>();
        (device, sum)
    }));
    set_hook(hook);
    match sum {
        Ok((device, 8.0)) => Ok(device),
        Ok((_, other)) => Err(unusable(&format!("the sum of eight ones comes out as {other}"))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(unusable(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("its first kernel failed")))
        }
    }
}
