//! How arrays of different shapes lie under one shape, as kernels see it.

use termwise_ops::broadcast::Layout;

/// Axes that kernels walk over: `MAX_AXES` in `common.cl`.
const MAX_AXES: usize = 8;
/// Arrays that are walked at a time: `MAX_OPERANDS` in `common.cl`.
const MAX_OPERANDS: usize = 3;

/// A nest of loops and the step of each operand in each: `Strides` in `common.cl`.
///
/// Axes of extent 1 are dropped, and axes that every operand steps through evenly are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Strides {
    axes: i32,
    len: usize,
    /// Outermost first; 1 beyond `axes`.
    extents: [i32; MAX_AXES],
    /// By operand, then by axis; 0 beyond.
    steps: [[i32; MAX_AXES]; MAX_OPERANDS],
}

fn small(value: usize) -> i32 {
    i32::try_from(value).unwrap_or_else(|_| panic!("OpenCL: an array of {value} elements is too large"))
}

impl Strides {
    /// Operands that broadcast to `shape`.
    pub fn broadcast<const K: usize>(shape: &[usize], operands: [&[usize]; K]) -> Self {
        Strides::new(&Layout::broadcast(shape, operands))
    }

    /// Axes given, outermost first, as extent and step of each operand.
    pub fn from_axes<const K: usize>(axes: impl IntoIterator<Item = (usize, [usize; K])>) -> Self {
        Strides::new(&Layout::from_axes(axes))
    }

    fn new<const K: usize>(layout: &Layout<K>) -> Self {
        const { assert!(K <= MAX_OPERANDS) }
        let axes: Vec<_> = layout.axes().collect();
        assert!(
            axes.len() <= MAX_AXES,
            "OpenCL: {} axes that cannot be joined, at most {MAX_AXES}",
            axes.len()
        );
        let mut strides = Strides {
            axes: axes.len() as i32,
            len: layout.len(),
            extents: [1; MAX_AXES],
            steps: [[0; MAX_AXES]; MAX_OPERANDS],
        };
        for (axis, (extent, steps)) in axes.iter().enumerate() {
            strides.extents[axis] = small(*extent);
            for k in 0..K {
                strides.steps[k][axis] = small(steps[k]);
            }
        }
        strides
    }

    /// Number of positions.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The same with the first two operands exchanged.
    pub fn swap(mut self) -> Self {
        self.steps.swap(0, 1);
        self
    }

    /// The struct as kernels take it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let numbers = std::iter::once(&self.axes).chain(&self.extents).chain(self.steps.iter().flatten());
        numbers.flat_map(|number| number.to_ne_bytes()).collect()
    }
}
