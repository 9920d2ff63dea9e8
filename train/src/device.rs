//! Where a command computes: `--device cpu`, `cuda`, `cuda:0,1`, or `webgpu`.
//!
//! Whatever can be known to be missing is an error here, before data is read or weights are made.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(any(feature = "cuda", feature = "webgpu"))]
mod probe;

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

/// Where to compute, as the user names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The CPU.
    #[default]
    Cpu,
    /// NVIDIA GPUs by CUDA's numbers: at least one, none twice.
    Cuda(Vec<usize>),
    /// The GPU that the system's Vulkan, Metal or DirectX offers first.
    WebGpu,
}

/// A device that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No device is called so.
    #[error("`{0}` is no device: use cpu, cuda, cuda:0,1 with the numbers of the GPUs, or webgpu")]
    Unknown(String),
    /// A GPU is named twice.
    #[error("GPU {0} is named twice")]
    Twice(usize),
    /// The feature of this name is off.
    #[error("this program was built without {0}: build it with --features {0}")]
    NotBuiltIn(&'static str),
    /// Something that CUDA needs is not on this machine.
    #[error("CUDA cannot be used, {} missing:{}", if .0.len() == 1 { "this is" } else { "these are" }, listed(.0))]
    Missing(Vec<Missing>),
    /// The driver finds no GPU.
    #[error("CUDA cannot be used: the driver finds no GPU (see nvidia-smi, and CUDA_VISIBLE_DEVICES if it is set)")]
    NoGpu,
    /// There is no GPU of this number.
    #[error("there is no GPU {index}: {}", if *.count == 1 { "the only one is 0".to_owned() } else { format!("they are 0 to {}", .count - 1) })]
    OutOfRange {
        /// The number asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The first computation fails.
    #[error("{device} cannot compute: {reason}")]
    Unusable {
        /// What it is called.
        device: String,
        /// What Burn or the driver says.
        reason: String,
    },
    /// Several devices for a command that computes on one.
    #[error("{0} GPUs are named, and this command computes on one: name one, such as cuda:0")]
    Several(usize),
}

/// A part of CUDA that a program needs while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// `libcuda`.
    Driver,
    /// `libnvrtc`.
    Nvrtc,
    /// The headers that kernels include.
    Headers,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Driver => "libcuda, which comes with the NVIDIA driver",
            Self::Nvrtc => "libnvrtc of the CUDA toolkit; if it is installed, add its folder to LD_LIBRARY_PATH",
            Self::Headers => "the CUDA headers; CUDA_PATH is to name the folder that has them in its include/",
        })
    }
}

fn listed(missing: &[Missing]) -> String {
    missing.iter().map(|part| format!("\n  {part}")).collect()
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(name.to_owned());
        let numbers = match name.split_once(':') {
            None if name == "cpu" => return Ok(Self::Cpu),
            None if name == "cuda" => return Ok(Self::Cuda(vec![0])),
            None if name == "webgpu" => return Ok(Self::WebGpu),
            Some(("cuda", numbers)) => numbers,
            _ => return Err(unknown()),
        };
        let mut indices = Vec::new();
        for number in numbers.split(',') {
            // `parse` alone would take "+1".
            let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let index = number.parse().ok().filter(|_| digits).ok_or_else(unknown)?;
            if indices.contains(&index) {
                return Err(DeviceError::Twice(index));
            }
            indices.push(index);
        }
        Ok(Self::Cuda(indices))
    }
}

impl DeviceChoice {
    /// The devices, without automatic differentiation, in the order they are named. A GPU has computed once when this
    /// returns it.
    ///
    /// # Errors
    /// See [`DeviceError`]: CUDA not built in, a library or the headers missing, no GPU, or none of that number.
    pub fn open(&self) -> Result<Vec<Device>, DeviceError> {
        match self {
            Self::Cpu => Ok(vec![Device::flex()]),
            #[cfg(feature = "cuda")]
            Self::Cuda(indices) => cuda::open(indices),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Err(DeviceError::NotBuiltIn("cuda")),
            #[cfg(feature = "webgpu")]
            Self::WebGpu => Ok(vec![probe::probe("the first GPU of Vulkan, Metal or DirectX", webgpu)?]),
            #[cfg(not(feature = "webgpu"))]
            Self::WebGpu => Err(DeviceError::NotBuiltIn("webgpu")),
        }
    }

    /// The device, for a command that computes on one.
    ///
    /// # Errors
    /// As [`open`](Self::open), and where several are named.
    pub fn open_one(&self) -> Result<Device, DeviceError> {
        let mut devices = self.open()?;
        match (devices.pop(), devices.len()) {
            (Some(device), 0) => Ok(device),
            (_, others) => Err(DeviceError::Several(others + 1)),
        }
    }
}

#[cfg(feature = "webgpu")]
fn webgpu() -> Device {
    Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)
}

/// What there is of CUDA on a machine.
#[cfg(any(feature = "cuda", test))]
#[derive(Debug, Clone, Copy)]
struct Found {
    driver: bool,
    nvrtc: bool,
    headers: bool,
    gpus: usize,
}

#[cfg(any(feature = "cuda", test))]
impl Found {
    fn check(&self, indices: &[usize]) -> Result<(), DeviceError> {
        let parts = [(self.driver, Missing::Driver), (self.nvrtc, Missing::Nvrtc), (self.headers, Missing::Headers)];
        let missing: Vec<Missing> = parts.into_iter().filter_map(|(there, part)| (!there).then_some(part)).collect();
        if !missing.is_empty() {
            return Err(DeviceError::Missing(missing));
        }
        if self.gpus == 0 {
            return Err(DeviceError::NoGpu);
        }
        match indices.iter().find(|index| **index >= self.gpus) {
            Some(&index) => Err(DeviceError::OutOfRange { index, count: self.gpus }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Found = Found { driver: true, nvrtc: true, headers: true, gpus: 2 };

    #[test]
    fn names_of_devices() {
        for (name, choice) in [
            ("cpu", DeviceChoice::Cpu),
            ("cuda", DeviceChoice::Cuda(vec![0])),
            ("cuda:3", DeviceChoice::Cuda(vec![3])),
            ("cuda:1,0", DeviceChoice::Cuda(vec![1, 0])),
            ("webgpu", DeviceChoice::WebGpu),
        ] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap(), choice);
        }
        for name in [
            "", "gpu", "CUDA", "cpu:0", "cuda:", "cuda:a", "cuda:-1", "cuda:+1", "cuda:0,", "cuda: 1", "cuda:0;1",
            "webgpu:0",
        ] {
            assert_eq!(name.parse::<DeviceChoice>(), Err(DeviceError::Unknown(name.to_owned())));
        }
        assert_eq!("cuda:99999999999999999999".parse::<DeviceChoice>().ok(), None);
        assert_eq!("cuda:1,0,1".parse::<DeviceChoice>(), Err(DeviceError::Twice(1)));
    }

    #[test]
    fn what_is_missing_is_named() {
        ALL.check(&[1, 0]).unwrap();
        let error = Found { driver: false, gpus: 0, ..ALL }.check(&[0]).unwrap_err();
        assert_eq!(error, DeviceError::Missing(vec![Missing::Driver]));
        let error = Found { nvrtc: false, headers: false, ..ALL }.check(&[0]).unwrap_err().to_string();
        assert!(error.starts_with("CUDA cannot be used, these are missing:\n  libnvrtc"), "{error}");
        assert!(error.contains("CUDA_PATH"), "{error}");
        assert_eq!(Found { gpus: 0, ..ALL }.check(&[0]), Err(DeviceError::NoGpu));
    }

    #[test]
    fn a_gpu_that_is_not_there() {
        let error = ALL.check(&[0, 2]).unwrap_err();
        assert_eq!(error.to_string(), "there is no GPU 2: they are 0 to 1");
        let error = Found { gpus: 1, ..ALL }.check(&[1]).unwrap_err();
        assert_eq!(error.to_string(), "there is no GPU 1: the only one is 0");
    }

    #[test]
    fn the_cpu_is_always_there() {
        assert_eq!(DeviceChoice::Cpu.open_one().unwrap(), Device::flex());
    }

    /// On a machine without a GPU, and in a build without CUDA, this is an error and no panic.
    #[test]
    fn a_gpu_that_no_machine_has() {
        let error = DeviceChoice::Cuda(vec![1 << 20]).open_one().unwrap_err();
        if cfg!(feature = "cuda") {
            assert!(
                matches!(error, DeviceError::Missing(_) | DeviceError::NoGpu | DeviceError::OutOfRange { .. }),
                "{error}"
            );
        } else {
            assert_eq!(error, DeviceError::NotBuiltIn("cuda"));
        }
    }
}
