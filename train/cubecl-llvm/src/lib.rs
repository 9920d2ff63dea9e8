//! Stands in for CubeCL's LLVM compiler, so that CUDA builds without LLVM: kernels are compiled by NVRTC. The README
//! says why. Items have the names and fields that `cubecl-cuda` uses of the crate of this name.

use std::convert::Infallible;
use std::ffi::c_char;

use cubecl_core::ir::nvidia::SmArch;
use cubecl_environment::backtrace::BackTrace;
use cubecl_server::compiler::CompilationError;
use cubecl_server::kernel::BufferIOAttr;

use nvptx::ptx_version::PtxVersion;

#[cfg(feature = "amdgpu")]
compile_error!("this stand-in for cubecl-llvm serves CUDA only; ROCm needs the published crate");

/// What the published crate keeps under its NVPTX target.
pub mod nvptx {
    /// Versions of PTX.
    pub mod ptx_version {
        use std::fmt;

        /// A version of PTX for LLVM to emit. There is no value of it here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum PtxVersion {}

        impl PtxVersion {
            /// `None`: only LLVM asks for a version, NVRTC writes its own.
            pub fn for_driver(_driver: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {}
            }
        }
    }
}

/// What the published crate shares between its targets.
pub mod shared {
    /// Features of a device that LLVM can make use of.
    pub mod lowered_features {
        use cubecl_core::ir::DeviceProperties;

        /// A target of LLVM.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA.
            Nvptx,
        }

        /// Leaves the properties as they are: they only need restricting where LLVM compiles.
        pub fn restrict_features(_properties: &mut DeviceProperties, _target: GpuTarget) {}
    }
}

/// A target of LLVM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LlvmTarget {
    /// NVIDIA.
    #[default]
    Nvptx,
}

/// The compiler; it compiles nothing.
#[derive(Clone, Debug, Default)]
pub struct PlironCompiler {
    /// What it would compile for.
    pub target: LlvmTarget,
}

impl PlironCompiler {
    /// Never returns a kernel.
    ///
    /// # Errors
    /// Always: says that the program was built without LLVM.
    pub fn compile<K>(&mut self, _kernel: K, _options: &PlironOptions) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic {
            reason:
                "this program was built without LLVM, and its kernels are for NVRTC: build it with cubecl's feature \
                     cuda-cpp"
                    .to_owned(),
            backtrace: BackTrace::capture(),
        })
    }

    /// Names the language in logs.
    pub fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}

/// Settings of a compilation.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// An AMD architecture; never read.
    pub arch: Option<()>,
    /// The NVIDIA architecture; never read.
    pub sm_arch: Option<SmArch>,
    /// The version of PTX; never read.
    pub ptx_version: Option<PtxVersion>,
    /// Whether scalars travel in the parameter block; never read.
    pub grid_constants: bool,
}

/// A compiled kernel.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum PlironArtifact {
    /// For NVIDIA.
    NvptxCode(NvptxModule),
}

/// Compiled PTX.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// NUL-terminated PTX.
    pub ptx: Vec<c_char>,
    /// The kernel's symbol.
    pub entrypoint: String,
    /// What it was compiled from, for logs.
    pub ir: String,
    /// Shared memory of a launch, in bytes.
    pub shared_memory_size: usize,
    /// How each buffer is used, in the order they are bound.
    pub io: Vec<BufferIOAttr>,
    /// Has no value, so that none is ever made.
    pub never: Infallible,
}
