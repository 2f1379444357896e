//! What the reductions over axes have in common: which axes, and the shapes that come of it.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Backend, Var};

use super::pairs::Sample;
use crate::shape;

/// The axes of one reduction, checked.
pub(super) struct Reduction {
    /// Shape of the operand.
    pub input: Vec<usize>,
    /// Shape of the result with reduced axes kept as 1.
    pub kept: Vec<usize>,
    /// Shape of the result.
    pub output: Vec<usize>,
    /// Number of elements that go into one result.
    pub count: usize,
}

impl Reduction {
    /// `axes` are the axes to reduce, `None` for all of them.
    ///
    /// # Panics
    /// If an axis is out of range or given twice.
    #[track_caller]
    pub fn new(op: &str, shape: &[usize], axes: Option<&[isize]>, keepdim: bool) -> Self {
        let mut reduced = vec![axes.is_none(); shape.len()];
        for &axis in axes.unwrap_or_default() {
            let place = shape::axis(op, axis, shape);
            assert!(!reduced[place], "{op}: axis {axis} is given twice in {axes:?} for shape {shape:?}");
            reduced[place] = true;
        }
        let kept: Vec<usize> =
            shape.iter().zip(&reduced).map(|(&n, &gone)| if gone { 1 } else { n }).collect();
        let output = match keepdim {
            true => kept.clone(),
            false => shape.iter().zip(&reduced).filter(|(_, gone)| !**gone).map(|(&n, _)| n).collect(),
        };
        let count = shape.iter().zip(&reduced).filter(|(_, gone)| **gone).map(|(&n, _)| n).product();
        Reduction { input: shape.to_vec(), kept, output, count }
    }
}

/// A reduction as a case runs it: operand, axes and whether to keep them.
type Run<B> = fn(&Var<B>, Option<&[isize]>, bool) -> Var<B>;

/// Test cases over several sets of axes.
pub(super) fn cases<B: Backend>(
    op: &'static str,
    label: &'static str,
    sample: Sample,
    run: Run<B>,
) -> Vec<Case<B>> {
    let case = |axes: Option<&'static [isize]>, keepdim: bool, shape: &[usize]| {
        let axes_label = axes.map_or("all axes".to_string(), |axes| format!("axes {axes:?}"));
        let kept_label = if keepdim { ", kept" } else { "" };
        let label =
            [label, &axes_label].iter().filter(|s| !s.is_empty()).copied().collect::<Vec<_>>().join(", ");
        Case::new(op, label + kept_label, shape, move |shape, samples| {
            let outside = |axis: &isize| !(-(shape.len() as isize)..shape.len() as isize).contains(axis);
            if axes.unwrap_or_default().iter().any(outside) || shape.contains(&0) && axes.is_none() {
                return None;
            }
            Built::new([("x", sample(samples, shape))], move |v| run(&v[0], axes, keepdim))
        })
    };
    vec![
        case(None, false, &[1]),
        case(None, false, &[2, 3]),
        case(None, true, &[3, 2, 3]),
        case(Some(&[1]), false, &[3, 4, 5]),
        case(Some(&[0, 2]), true, &[3, 4, 5]),
        case(Some(&[-1]), false, &[4, 9]),
        case(Some(&[0]), false, &[7, 3]),
        case(Some(&[-1, 1]), false, &[2, 3, 2, 4]),
        case(Some(&[1]), false, &[0, 3]),
    ]
}
