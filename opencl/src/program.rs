//! Kernel files, and the programs made of them.

use std::collections::HashMap;
use std::ffi::CString;

use crate::error::{OpenClError, fail};
use crate::raw::{Kernel, Program};
use crate::runtime::Runtime;

/// A kernel file, and the template that it is put before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// Its place in `opencl/kernels/`.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
    /// Name and text of what follows it and uses what it defines; empty where nothing does.
    pub template: (&'static str, &'static str),
}

/// The kernel file of an operation: `source!("activations/softmax")`, `source!("activations/relu", "elementwise")`
/// with a template.
macro_rules! source {
    ($name:expr) => {
        $crate::program::Source {
            file: concat!($name, ".cl"),
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/", $name, ".cl")),
            template: ("", ""),
        }
    };
    ($name:expr, $template:literal) => {
        $crate::program::Source {
            file: concat!($name, ".cl"),
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/", $name, ".cl")),
            template: (
                concat!("common/", $template, ".cl"),
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/common/", $template, ".cl")),
            ),
        }
    };
}
pub(crate) use source;

/// What every kernel file may use.
const COMMON: &str = include_str!("../kernels/common/common.cl");

/// A program on a device, for one number type.
#[derive(Debug)]
pub(crate) struct Compiled {
    source: Source,
    kernels: HashMap<&'static str, Ready>,
    program: Program,
}

/// A kernel, and the types of its arguments where the driver tells them.
#[derive(Debug)]
pub(crate) struct Ready {
    pub kernel: Kernel,
    pub types: Vec<String>,
}

impl Compiled {
    /// Compiles a kernel file for a number type.
    pub fn new(runtime: &Runtime, source: Source, scalar: &str) -> Self {
        let numbers = match scalar {
            "f64" => "-D DOUBLE",
            // So that 0.5 is no double.
            _ => "-cl-single-precision-constant",
        };
        let options = format!("-cl-std=CL1.2 -cl-kernel-arg-info {numbers}");
        let options = CString::new(options).expect("no 0 in options");
        // So that the compiler names the file and the line that it speaks of.
        let begin = |file: &str| format!("\n#line 1 \"{file}\"\n");
        let (common, own, template) =
            (begin("common/common.cl"), begin(source.file), begin(source.template.0));
        let text = [&common, COMMON, &own, source.text, &template, source.template.1].concat();
        let doing = || format!("compiling {}", source.file);
        match runtime.context.build(runtime.info.id, &text, &options) {
            Ok(Ok(program)) => Compiled { source, kernels: HashMap::new(), program },
            Ok(Err(log)) => {
                let (file, device) = (source.file.into(), runtime.info.name.clone());
                fail(OpenClError::Build { file, device, log })
            }
            Err(error) => fail(runtime.error(doing(), error)),
        }
    }

    /// A kernel of the program.
    pub fn kernel(&mut self, runtime: &Runtime, name: &'static str) -> &mut Ready {
        let Compiled { source, kernels, program } = self;
        kernels.entry(name).or_insert_with(|| {
            let doing = || format!("looking up {name} of {}", source.file);
            let kernel = program.kernel(name).unwrap_or_else(|error| fail(runtime.error(doing(), error)));
            // Some drivers keep no types; then nothing is checked.
            let types = kernel.argument_types().unwrap_or_default();
            let types = types.iter().map(|name| name.replace("unsigned ", "u").replace(' ', "")).collect();
            Ready { kernel, types }
        })
    }
}
