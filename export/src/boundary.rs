//! What goes into a forward and comes out of it, while it is recorded and while Burn computes it.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;

use burn::tensor::{Bool, DType as BurnDType, Device, Float, Int, Tensor, TensorData};
use burn_capture::{CaptureBackend, TensorId};

use crate::graph::DType;

/// An extent of an input: fixed, or a named size that other inputs may share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// Always this.
    Fixed(usize),
    /// Whatever the caller sends.
    Symbol {
        /// The size's name.
        name: String,
        /// The largest size the forward can take, where there is one (a position table).
        max: Option<usize>,
    },
}

impl Extent {
    /// A named size.
    pub fn symbol(name: &str) -> Self {
        Self::Symbol { name: name.to_owned(), max: None }
    }

    /// A named size the forward can take only up to `max`.
    pub fn symbol_up_to(name: &str, max: usize) -> Self {
        Self::Symbol { name: name.to_owned(), max: Some(max) }
    }
}

impl From<usize> for Extent {
    fn from(value: usize) -> Self {
        Self::Fixed(value)
    }
}

impl From<&str> for Extent {
    fn from(name: &str) -> Self {
        Self::symbol(name)
    }
}

/// Name, type and extents of a graph input.
#[derive(Debug, Clone)]
pub struct InputSpec {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<Extent>,
}

/// A declared output of the forward.
pub struct Output {
    pub(crate) name: String,
    pub(crate) tensor: Box<dyn OutputTensor>,
}

/// Tensor types that can be a graph output.
pub trait OutputTensor {
    /// The capture id of the tensor.
    #[doc(hidden)]
    fn capture_id(&self) -> Result<TensorId, String>;

    /// The tensor's values.
    #[doc(hidden)]
    fn values(&self) -> Result<TensorData, String>;
}

macro_rules! output_tensor {
    ($($kind:ty),*) => {$(
        impl<const D: usize> OutputTensor for Tensor<D, $kind> {
            fn capture_id(&self) -> Result<TensorId, String> {
                self.clone().try_into_primitive::<CaptureBackend>().map(|t| t.id()).map_err(|e| format!("{e:?}"))
            }

            fn values(&self) -> Result<TensorData, String> {
                self.clone().try_into_data().map_err(|e| format!("{e:?}"))
            }
        }
    )*};
}
output_tensor!(Float, Int, Bool);

impl Output {
    /// Declares `tensor` as the output `name`.
    pub fn new(name: &str, tensor: impl OutputTensor + 'static) -> Self {
        Self { name: name.to_owned(), tensor: Box::new(tensor) }
    }
}

/// The inputs by name, while the forward runs.
pub struct Inputs {
    shapes: BTreeMap<String, (DType, Vec<usize>)>,
    /// Their values; none while the forward is recorded, so that looking at one fails.
    values: BTreeMap<String, TensorData>,
    device: Device,
    given: RefCell<BTreeMap<String, Box<dyn Given>>>,
}

/// An input that the forward has asked for, kept for when it asks again.
trait Given {
    fn id(&self) -> Option<TensorId>;
    fn tensor(&self) -> &dyn Any;
}

impl<T: OutputTensor + 'static> Given for T {
    fn id(&self) -> Option<TensorId> {
        self.capture_id().ok()
    }

    fn tensor(&self) -> &dyn Any {
        self
    }
}

impl Inputs {
    /// Inputs without values on a capture device.
    pub(crate) fn recorded(shapes: BTreeMap<String, (DType, Vec<usize>)>, device: Device) -> Self {
        Self { shapes, values: BTreeMap::new(), device, given: RefCell::default() }
    }

    /// Inputs to compute with.
    pub(crate) fn computed(
        shapes: BTreeMap<String, (DType, Vec<usize>)>,
        values: BTreeMap<String, TensorData>,
        device: Device,
    ) -> Self {
        Self { shapes, values, device, given: RefCell::default() }
    }

    /// Ids of the inputs that the forward has asked for.
    pub(crate) fn ids(&self) -> BTreeMap<String, TensorId> {
        self.given.borrow().iter().filter_map(|(name, input)| Some((name.clone(), input.id()?))).collect()
    }

    /// The float input `name`, of rank `D`.
    ///
    /// # Panics
    /// If no float input of that name and rank was declared; the compiler turns it into an error.
    pub fn float<const D: usize>(&self, name: &str) -> Tensor<D> {
        self.get(name, DType::F32, |shape, data, device| match data {
            Some(data) => Tensor::<D>::from_data(data, (device, BurnDType::F32)),
            None => Tensor::<D>::empty(shape, (device, BurnDType::F32)),
        })
    }

    /// The integer input `name`, of rank `D`.
    ///
    /// # Panics
    /// If no integer input of that name and rank was declared; the compiler turns it into an error.
    pub fn int<const D: usize>(&self, name: &str) -> Tensor<D, Int> {
        self.get(name, DType::I64, |shape, data, device| match data {
            Some(data) => Tensor::<D, Int>::from_data(data, (device, BurnDType::I64)),
            None => Tensor::<D, Int>::empty(shape, (device, BurnDType::I64)),
        })
    }

    fn get<T: OutputTensor + Clone + 'static>(
        &self,
        name: &str,
        dtype: DType,
        make: impl Fn(Vec<usize>, Option<TensorData>, &Device) -> T,
    ) -> T {
        let (declared, shape) =
            self.shapes.get(name).unwrap_or_else(|| panic!("the forward asks for the undeclared input `{name}`"));
        assert_eq!(*declared, dtype, "input `{name}` is declared as {}", declared.name());
        if let Some(known) = self.given.borrow().get(name) {
            let known = known.as_ref().tensor().downcast_ref::<T>();
            return known.unwrap_or_else(|| panic!("the forward asks for input `{name}` in two ranks")).clone();
        }
        let tensor = make(shape.clone(), self.values.get(name).cloned(), &self.device);
        self.given.borrow_mut().insert(name.to_owned(), Box::new(tensor.clone()));
        tensor
    }
}
