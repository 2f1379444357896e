//! Group normalisation: the channels of each sample are normalised in groups.
//!
//! `y = (x - mean) / sqrt(var + eps) * weight_c + bias_c`, mean and biased variance over the C / G
//! neighbouring channels of a group and all positions, separately for each sample.
//!
//! Source: Wu and He, "Group Normalization", ECCV 2018.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::planes::{Line, planes, row_statistics, row_sums_against_mean};
use super::{check_affine, factor};
use crate::shape;

/// Group normalisation.
///
/// # Formula
/// `y = (x - mean) / sqrt(var + eps) * weight_c + bias_c`, mean and biased variance of sample `n`
/// over the channels of the group of `c` and all positions.
///
/// # Shapes
/// `x` and `y`: (N, C, ..), the same; `weight`, `bias`: (C), each may be left out (1 and 0).
/// Group `g` holds channels `g C / num_groups .. (g + 1) C / num_groups`.
///
/// # Gradient
/// With `xhat = (x - mean) / sqrt(var + eps)`, `g = dy weight` and means over the group:
/// `dx = (g - mean(g) - xhat mean(g xhat)) / sqrt(var + eps)`, `dweight = sum dy xhat`,
/// `dbias = sum dy`.
///
/// # Edge cases
/// One group is layer normalisation over (C, ..) with a weight per channel; C groups are instance
/// normalisation. A constant group becomes `bias`.
///
/// # Panics
/// If `x` has fewer than two axes, C is not a multiple of `num_groups`, or `weight` or `bias` is not (C).
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 4], vec![1.0, 3.0, 20.0, 10.0]));
/// let y = termwise_ops::group_norm(&x, 2, None, None, 0.0);
/// assert_eq!(y.value().as_slice(), [-1.0, 1.0, 1.0, -1.0]);
/// ```
#[track_caller]
pub fn group_norm<B: GroupNormKernel>(
    x: &Var<B>,
    num_groups: usize,
    weight: Option<&Var<B>>,
    bias: Option<&Var<B>>,
    eps: f64,
) -> Var<B> {
    assert!(x.ndim() >= 2, "group_norm: x must be (N, C, ..), its shape is {:?}", x.shape());
    assert!(
        num_groups > 0 && x.shape()[1].is_multiple_of(num_groups),
        "group_norm: channels must be a multiple of num_groups = {num_groups}, x is {:?}",
        x.shape()
    );
    check_affine("group_norm", x.shape(), "weight", weight.map(Var::shape), &x.shape()[1..2]);
    check_affine("group_norm", x.shape(), "bias", bias.map(Var::shape), &x.shape()[1..2]);
    apply(GroupNorm { num_groups, eps }, [x, &x.optional(weight), &x.optional(bias)])
}

struct GroupNorm {
    num_groups: usize,
    eps: f64,
}

struct GroupNormSaved<B: Backend> {
    x: Array<B>,
    weight: Array<B>,
    /// (N, G)
    mean: Array<B>,
    /// `1 / sqrt(var + eps)`: (N, G)
    inv_std: Array<B>,
}

impl<B: GroupNormKernel> Op<B, 3> for GroupNorm {
    type Saved = GroupNormSaved<B>;

    fn name(&self) -> &'static str {
        "group_norm"
    }

    fn forward(&self, [x, weight, bias]: [&Array<B>; 3]) -> (Array<B>, Self::Saved) {
        let (y, mean, inv_std) =
            B::group_norm_forward(x, weight.present(), bias.present(), self.num_groups, self.eps);
        (y, GroupNormSaved { x: x.clone(), weight: weight.clone(), mean, inv_std })
    }

    fn backward(
        &self,
        saved: &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; 3],
    ) -> [Option<Array<B>>; 3] {
        let GroupNormSaved { x, weight, mean, inv_std } = saved;
        let gradients = B::group_norm_backward(x, weight.present(), mean, inv_std, grad_output);
        let [x, weight, bias] = gradients;
        [needs[0].then_some(x), needs[1].then_some(weight), needs[2].then_some(bias)]
    }
}

/// Kernels of [`group_norm`].
pub trait GroupNormKernel: Backend {
    /// Output, and the mean and `1 / sqrt(var + eps)` of each group: (N, G).
    fn group_norm_forward(
        x: &Array<Self>,
        weight: Option<&Array<Self>>,
        bias: Option<&Array<Self>>,
        num_groups: usize,
        eps: f64,
    ) -> (Array<Self>, Array<Self>, Array<Self>);

    /// Gradients in `x`, weight and bias.
    fn group_norm_backward(
        x: &Array<Self>,
        weight: Option<&Array<Self>>,
        mean: &Array<Self>,
        inv_std: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> [Array<Self>; 3];
}

impl<T: Scalar> GroupNormKernel for Cpu<T> {
    fn group_norm_forward(
        x: &Array<Self>,
        weight: Option<&Array<Self>>,
        bias: Option<&Array<Self>>,
        num_groups: usize,
        eps: f64,
    ) -> (Array<Self>, Array<Self>, Array<Self>) {
        let (n, channels, inner) = shape::split_at_axis(x.shape(), 1);
        let per_group = channels / num_groups;
        let mut statistics = row_statistics(x.as_slice(), n * num_groups, per_group * inner);
        for (_, var) in &mut statistics {
            *var = (*var + T::of(eps)).sqrt().recip();
        }
        let y = planes(x, None, |plane| {
            let (c, (mean, inv_std)) = (plane % channels, statistics[plane / per_group]);
            let shift = bias.map_or(T::zero(), |bias| bias.as_slice()[c]);
            Line { centre: mean, slope: inv_std * factor(weight, c), shift, ..Line::zero() }
        });
        let (mean, inv_std) = statistics.into_iter().unzip();
        let groups = [n, num_groups];
        (y, Array::host(&groups, mean), Array::host(&groups, inv_std))
    }

    fn group_norm_backward(
        x: &Array<Self>,
        weight: Option<&Array<Self>>,
        mean: &Array<Self>,
        inv_std: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> [Array<Self>; 3] {
        let (n, channels, inner) = shape::split_at_axis(x.shape(), 1);
        let num_groups = mean.shape()[1];
        let per_group = channels / num_groups;
        let count = T::of((per_group * inner) as f64);
        let (mean, inv_std) = (mean.as_slice(), inv_std.as_slice());

        // y = xhat weight + bias: per plane, sum dy xhat and sum dy
        let plane_means: Vec<T> = (0..n * channels).map(|plane| mean[plane / per_group]).collect();
        let mut sums = row_sums_against_mean(x.as_slice(), grad_output.as_slice(), &plane_means, inner);
        let (mut grad_weight, mut grad_bias) = (vec![T::zero(); channels], vec![T::zero(); channels]);
        for (plane, (sum_gx, sum_g)) in sums.iter_mut().enumerate() {
            *sum_gx *= inv_std[plane / per_group];
            grad_weight[plane % channels] += *sum_gx;
            grad_bias[plane % channels] += *sum_g;
        }

        // xhat = (x - mean) / sqrt(var + eps): the means over a group of dy weight, and of that times xhat
        let groups: Vec<(T, T)> = sums
            .chunks(per_group.max(1))
            .enumerate()
            .map(|(group, planes)| {
                let (mut mean_g, mut mean_gx) = (T::zero(), T::zero());
                let first_channel = group * per_group % channels;
                for (i, &(sum_gx, sum_g)) in planes.iter().enumerate() {
                    let weight: T = factor(weight, first_channel + i);
                    mean_g += weight * sum_g;
                    mean_gx += weight * sum_gx;
                }
                (mean_g / count, mean_gx / count)
            })
            .collect();
        let grad = planes(x, Some(grad_output), |plane| {
            let group = plane / per_group;
            let (weight, inv_std): (T, T) = (factor(weight, plane % channels), inv_std[group]);
            let (mean_g, mean_gx) = groups[group];
            // (g weight - mean(g weight) - xhat mean(g weight xhat)) inv_std
            Line {
                centre: mean[group],
                slope: -mean_gx * inv_std * inv_std,
                shift: -mean_g * inv_std,
                slope_g: weight * inv_std,
            }
        });
        [grad, Array::host(&[channels], grad_weight), Array::host(&[channels], grad_bias)]
    }
}

/// Test cases of [`group_norm`].
pub fn cases<B: GroupNormKernel>() -> Vec<Case<B>> {
    let case = |num_groups: usize, affine: bool, offset: f64, shape: &[usize]| {
        let label = format!("{num_groups} groups, affine {affine}, mean about {offset}");
        Case::new("group_norm", label, shape, move |shape, samples| {
            if shape.len() < 2 || !shape[1].is_multiple_of(num_groups) {
                return None;
            }
            let x = ("x", samples.normal(shape) + offset);
            if !affine {
                return Built::new([x], move |v| group_norm(&v[0], num_groups, None, None, 1e-3));
            }
            let weight = ("weight", samples.normal(&shape[1..2]));
            let bias = ("bias", samples.normal(&shape[1..2]));
            Built::new([x, weight, bias], move |v| {
                group_norm(&v[0], num_groups, Some(&v[1]), Some(&v[2]), 1e-3)
            })
        })
    };
    vec![
        case(1, true, 0.0, &[1, 1]),
        case(2, true, 0.0, &[3, 4]),
        case(3, true, 0.0, &[2, 6, 3, 2]),
        case(5, true, 0.0, &[2, 5, 4]),
        case(1, false, 100.0, &[2, 3, 5]),
        case(2, true, 0.0, &[0, 4, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;
    use crate::layer_norm;

    #[test]
    fn one_group_is_layer_norm_over_everything_but_the_batch() {
        let tape = Tape::new(Cpu::<f64>::new());
        let values: Vec<f64> = (0..2 * 3 * 4).map(|i| ((i * 13) % 24) as f64).collect();
        let x = tape.leaf(Array::host(&[2, 3, 4], values));
        let group = group_norm(&x, 1, None, None, 1e-5);
        let layer = layer_norm(&x, &[3, 4], None, None, 1e-5);
        for (a, b) in group.value().as_slice().iter().zip(layer.value().as_slice()) {
            assert!((a - b).abs() < 1e-14);
        }
    }

    #[test]
    #[should_panic(expected = "channels must be a multiple of num_groups = 4, x is [1, 6]")]
    fn groups_must_divide_the_channels() {
        let tape = Tape::new(Cpu::<f32>::new());
        group_norm(&tape.leaf(Array::host(&[1, 6], vec![0.0; 6])), 4, None, None, 1e-5);
    }
}
