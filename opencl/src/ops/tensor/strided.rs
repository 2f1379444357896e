//! Moving elements between an array and windows on an array.

use termwise_autograd::Array;
use termwise_ops::tensor::{StridedKernel, Window};

use crate::layout::Strides;
use crate::program::source;
use crate::{OpenCl, Real};

fn strides(window: &Window) -> Strides {
    Strides::from_axes(window.shape.iter().zip(&window.strides).map(|(&extent, &step)| (extent, [step])))
}

impl<T: Real> StridedKernel for OpenCl<T> {
    fn read_window(x: &Array<Self>, window: &Window) -> Array<Self> {
        let y = x.backend().arbitrary(&window.shape);
        let launch = x.backend().launch(source!("tensor/strided"), "strided_read").array(x).array(&y);
        launch.int(window.offset).strides(&strides(window)).int(y.len()).items(y.len());
        y
    }

    fn write_windows(shape: &[usize], fill: f64, parts: &[(&Array<Self>, Window)]) -> Array<Self> {
        let backend = parts.first().expect("at least one part").0.backend();
        let covered =
            parts.iter().map(|(part, _)| part.len()).sum::<usize>() == shape.iter().product::<usize>();
        let y = if covered { backend.arbitrary(shape) } else { Array::full(backend, shape, fill) };
        for (part, window) in parts {
            let launch = backend.launch(source!("tensor/strided"), "strided_write").array(part).array(&y);
            launch.int(window.offset).strides(&strides(window)).int(part.len()).items(part.len());
        }
        y
    }
}
