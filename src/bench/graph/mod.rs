//! The computation of each kind of workload, put together from public operations and layers.
//!
//! | file | kinds |
//! |---|---|
//! | `basic` | gemm, softmax, layernorm, gelu |
//! | `convolution` | conv2d, dcn, dynconv1d, dynconv2d |
//! | `attention` | ga, sdpa, txl |
//! | `translator` | transformer |
//! | `segmenter` | segmenter |

mod attention;
mod basic;
mod convolution;
mod segmenter;
mod translator;

use termwise_autograd::{Array, Module, Param, Tape, Var};
use termwise_ops::Kernels;

use super::fill::fill;
use super::workload::{Kind, Problem, TensorSpec, Workload};

/// Where a workload is computed: always in single precision.
pub trait Single: Kernels<Scalar = f32> {}

impl<B: Kernels<Scalar = f32>> Single for B {}

/// Computes the output on a tape; the inputs are parameters that it holds.
pub type Forward<B> = Box<dyn Fn(&Tape<B>) -> Var<B>>;

/// A computation and its inputs.
pub struct Graph<B: Single> {
    /// Computes the output.
    pub forward: Forward<B>,
    /// The inputs whose gradients are wanted, in the order of the workload.
    pub wanted: Vec<(String, Param<B>)>,
}

impl<B: Single> Graph<B> {
    /// Makes the inputs of a workload, and the function of them.
    ///
    /// # Errors
    /// If a field or a tensor that the kind needs is missing or wrong.
    pub fn of(backend: &B, workload: &Workload) -> Result<Graph<B>, Problem> {
        let mut inputs = Inputs::of(backend, workload);
        let forward = match workload.kind {
            Kind::Gemm => basic::gemm(&mut inputs)?,
            Kind::Softmax => basic::softmax_of_rows(&mut inputs)?,
            Kind::LayerNorm => basic::layer_norm_of_rows(&mut inputs)?,
            Kind::Gelu => basic::exact_gelu(&mut inputs)?,
            Kind::Conv2d => convolution::regular(&mut inputs)?,
            Kind::Dcn => convolution::deformable(&mut inputs)?,
            Kind::DynConv1d => convolution::dynamic_1d(&mut inputs)?,
            Kind::DynConv2d => convolution::dynamic_2d(&mut inputs)?,
            Kind::Ga => attention::generalized(&mut inputs)?,
            Kind::Sdpa => attention::dot_product(&mut inputs)?,
            Kind::Txl => attention::transformer_xl(&mut inputs)?,
            Kind::Transformer => translator::loss(&mut inputs)?,
            Kind::Segmenter => segmenter::loss(&mut inputs)?,
        };
        let wanted = inputs.list.into_iter().filter(|(spec, _)| spec.grad);
        Ok(Graph { forward, wanted: wanted.map(|(spec, param)| (spec.name, param)).collect() })
    }
}

/// The inputs of a workload: parameters where a gradient is wanted, else buffers.
struct Inputs<'a, B: Single> {
    backend: &'a B,
    workload: &'a Workload,
    list: Vec<(TensorSpec, Param<B>)>,
}

impl<'a, B: Single> Inputs<'a, B> {
    fn of(backend: &'a B, workload: &'a Workload) -> Self {
        let make = |(index, spec): (usize, &TensorSpec)| {
            let values = fill(index as u32 + 1, spec.len(), spec.scale, spec.offset);
            let value = Array::from_vec(backend, &spec.shape, values);
            (spec.clone(), if spec.grad { Param::new(value) } else { Param::buffer(value) })
        };
        Inputs { backend, workload, list: workload.tensors.iter().enumerate().map(make).collect() }
    }

    fn place(&self, name: &str) -> Result<usize, Problem> {
        self.workload.tensor(name)?;
        Ok(self.list.iter().position(|(spec, _)| spec.name == name).expect("one input for each tensor"))
    }

    /// The input called `name`.
    fn get(&self, name: &str) -> Result<Param<B>, Problem> {
        Ok(self.list[self.place(name)?].1.clone())
    }

    /// The input called `name` if the workload has it.
    fn get_if_any(&self, name: &str) -> Result<Option<Param<B>>, Problem> {
        if self.workload.has(name) { self.get(name).map(Some) } else { Ok(None) }
    }

    /// The input called `name`, which must have this shape.
    fn get_shaped(&self, name: &str, shape: &[usize]) -> Result<Param<B>, Problem> {
        let found = &self.workload.tensor(name)?.shape;
        if found != shape {
            let field = format!("tensors.{name}.shape");
            return Err(Problem::new(field, format!("{shape:?}"), format!("{found:?}")));
        }
        self.get(name)
    }

    /// The input called `name`, which must have this shape, under another shape.
    fn get_as(&mut self, name: &str, shape: &[usize], as_shape: &[usize]) -> Result<Param<B>, Problem> {
        let param = self.get_shaped(name, shape)?;
        let value = param.value().reshape(as_shape);
        let param = if param.is_trainable() { Param::new(value) } else { Param::buffer(value) };
        let place = self.place(name)?;
        self.list[place].1 = param.clone();
        Ok(param)
    }

    /// Gives the input called `name`, which must have this shape, to a layer: from now on the layer's
    /// parameter is that input.
    fn give(
        &mut self,
        name: &str,
        shape: &[usize],
        layer: &impl Module<B>,
        parameter: &str,
    ) -> Result<(), Problem> {
        let value = self.get_shaped(name, shape)?.value();
        let parameters = layer.parameters();
        let (_, target) =
            parameters.into_iter().find(|(name, _)| name == parameter).expect("a name of the layer");
        target.set(value.reshape(&target.shape()));
        let place = self.place(name)?;
        self.list[place].1 = target.clone();
        Ok(())
    }
}
