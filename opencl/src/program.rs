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
    /// What the compiler is told besides.
    pub defines: Defines,
}

/// Names and numbers that a kernel file is compiled with; those without a name are not used.
pub(crate) type Defines = [(&'static str, usize); 3];

/// A file compiled as it stands.
pub(crate) const NO_DEFINES: Defines = [("", 0); 3];

/// The kernel file of an operation: `source!("activations/softmax")`, `source!("activations/relu", "elementwise")`
/// with a template.
macro_rules! source {
    ($name:expr) => {
        $crate::program::Source {
            file: concat!($name, ".cl"),
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/", $name, ".cl")),
            template: ("", ""),
            defines: $crate::program::NO_DEFINES,
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
            defines: $crate::program::NO_DEFINES,
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
        let named = source.defines.iter().filter(|(name, _)| !name.is_empty());
        let defines: String = named.map(|(name, value)| format!(" -D {name}={value}")).collect();
        let options = format!("-cl-std=CL1.2 -cl-kernel-arg-info {numbers}{defines}");
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

#[cfg(test)]
pub(crate) mod tests {
    use super::{NO_DEFINES, Source};
    use crate::{DeviceChoice, OpenCl};

    /// A backend, or nothing and a line that says why.
    pub fn backend() -> Option<OpenCl<f32>> {
        match OpenCl::open(DeviceChoice::OpenCl(None)) {
            Ok(backend) => backend,
            Err(error) => {
                assert!(
                    std::env::var("REQUIRE_OPENCL").as_deref() != Ok("1"),
                    "REQUIRE_OPENCL=1, but {error}"
                );
                println!("skipped: {error}");
                None
            }
        }
    }

    fn message(run: impl FnOnce() + std::panic::UnwindSafe) -> String {
        *std::panic::catch_unwind(run).expect_err("it fails").downcast::<String>().expect("a message")
    }

    const BROKEN: Source = Source {
        file: "broken.cl",
        text: "KERNEL void broken(int x)\n{\n    nonsense;\n}\n",
        template: ("", ""),
        defines: NO_DEFINES,
    };
    const TAKES_INT: Source = Source {
        file: "takes_int.cl",
        text: "KERNEL void takes_int(int x) {}\n",
        template: ("", ""),
        defines: NO_DEFINES,
    };

    #[test]
    fn a_kernel_that_does_not_build_is_named_with_its_log() {
        let Some(backend) = backend() else { return };
        let told = message(|| backend.launch(BROKEN, "broken").int(1).items(1));
        let begin = format!("OpenCL: broken.cl does not build on {}:\n", backend.device().info().name);
        assert!(told.starts_with(&begin) && told.contains("nonsense"), "{told}");
        assert!(told.contains("broken.cl:3") || told.contains(":3:"), "the line is not named: {told}");
    }

    #[test]
    fn arguments_of_another_type_are_refused() {
        let Some(backend) = backend() else { return };
        backend.launch(TAKES_INT, "takes_int").int(1).items(1);
        let told = message(|| backend.launch(TAKES_INT, "takes_int").real(1.0).items(1));
        let expected = r#"takes_int.cl: takes_int takes ["int"], it was given ["float"]"#;
        assert_eq!(told, expected);
        message(|| backend.launch(TAKES_INT, "takes_int").int(1).int(2).items(1));
    }
}
