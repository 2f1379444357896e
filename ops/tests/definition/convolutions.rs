//! Regular, deformable, dynamic and lightweight convolution as sums of Eq. 1.

use ndarray::{Array2, Array3, Array4, ArrayD, Axis, IxDyn};
use termwise_autograd::gradcheck::Samples;
use termwise_ops::attention::definition::{
    Number, deformable_weights, dynamic_weights, equation_1, regular_weights, taps,
};
use termwise_ops::attention::{
    DynamicConvOptions, Lattice, deform_conv1d, deform_conv2d, deform_conv2d_pack, dynamic_conv,
    dynamic_conv_2d, lightweight_conv, regular_conv,
};
use termwise_ops::conv::{Conv1dOptions, Conv2dOptions};

use super::harness::{assert_equal, d2, d3, d4, image, tokens};

/// `W_m`: slice m of a kernel (O, C / groups, kh, kw), zero between groups. (taps, O, C)
fn slices<N: Number>(weight: &ArrayD<N>, groups: usize) -> Array3<N> {
    let weight = d4(weight);
    let (out, per_group, kh, kw) = weight.dim();
    Array3::from_shape_fn((kh * kw, out, per_group * groups), |(m, o, c)| {
        let (from, to) = (c / per_group, o / (out / groups));
        if from == to { weight[[o, c % per_group, m / kw, m % kw]] } else { N::from(0.0) }
    })
}

/// A convolution of one image: kernel, stride, padding, dilation, groups.
#[derive(Clone, Copy)]
struct Geometry {
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    groups: usize,
}

impl Geometry {
    const PLAIN: Geometry = Geometry { kernel: 3, stride: 1, padding: 1, dilation: 1, groups: 1 };

    fn options(self) -> Conv2dOptions {
        let Geometry { stride, padding, dilation, groups, .. } = self;
        Conv2dOptions::default().stride(stride).padding(padding).dilation(dilation).groups(groups)
    }

    fn taps(self) -> Vec<(i64, i64)> {
        let Geometry { kernel, dilation, padding, .. } = self;
        taps((kernel, kernel), (dilation, dilation), (padding, padding))
    }
}

/// Queries are every stride-th pixel, which is where a padded odd kernel gives its outputs.
fn lattice(h: usize, w: usize, stride: usize) -> Lattice {
    Lattice::Image { height: h, width: w, query_stride: stride, key_stride: 1 }
}

#[test]
fn regular_convolution() {
    let plain = Geometry::PLAIN;
    let geometries = [
        plain,
        Geometry { stride: 2, ..plain },
        Geometry { dilation: 2, padding: 2, ..plain },
        Geometry { groups: 2, ..plain },
        Geometry { kernel: 1, padding: 0, ..plain },
    ];
    for (i, g) in geometries.into_iter().enumerate() {
        let (h, w) = (3usize, 4usize);
        let mut samples = Samples::new(i as u64);
        let inputs = [
            ("x", samples.normal(&[1, 4, h, w])),
            ("weight", samples.normal(&[2, 4 / g.groups, g.kernel, g.kernel])),
        ];
        assert_equal(
            &format!("regular {i}"),
            &inputs,
            |v| regular_conv(&v[0], &v[1], None, g.options()),
            |v| {
                let weights = regular_weights(&lattice(h, w, g.stride), &g.taps());
                let y = equation_1(&weights, &tokens(&v[0]), None, &slices(&v[1], g.groups));
                image(&y, h.div_ceil(g.stride), w.div_ceil(g.stride))
            },
        );
    }
}

/// (1, groups taps 2, Ho, Wo) to (Q, groups, taps, 2).
fn offsets<N: Number>(offset: &ArrayD<N>, taps: usize) -> Array4<N> {
    let offset = d4(offset);
    let (_, planes, h, w) = offset.dim();
    Array4::from_shape_fn((h * w, planes / (2 * taps), taps, 2), |(q, g, m, axis)| {
        offset[[0, 2 * (g * taps + m) + axis, q / w, q % w]]
    })
}

/// (1, groups taps, Ho, Wo) to (Q, groups, taps).
fn masks<N: Number>(mask: &ArrayD<N>, taps: usize) -> Array3<N> {
    let mask = d4(mask);
    let (_, planes, h, w) = mask.dim();
    Array3::from_shape_fn((h * w, planes / taps, taps), |(q, g, m)| mask[[0, g * taps + m, q / w, q % w]])
}

#[test]
fn deformable_convolution() {
    let plain = Geometry::PLAIN;
    // Geometry, offset groups, modulated.
    let settings = [
        (plain, 1, false),
        (plain, 2, true),
        (Geometry { stride: 2, ..plain }, 1, true),
        (Geometry { dilation: 2, padding: 2, ..plain }, 1, false),
        (Geometry { groups: 2, ..plain }, 2, true),
        (Geometry { kernel: 1, padding: 0, ..plain }, 1, true),
    ];
    for (i, (g, offset_groups, modulated)) in settings.into_iter().enumerate() {
        let (h, w) = (3usize, 4usize);
        let (ho, wo) = (h.div_ceil(g.stride), w.div_ceil(g.stride));
        let taps = g.kernel * g.kernel;
        let mut samples = Samples::new(i as u64);
        let mut inputs = vec![
            ("x", samples.normal(&[1, 4, h, w])),
            ("offset", samples.off_grid(&[1, 2 * offset_groups * taps, ho, wo], -2, 2)),
            ("weight", samples.normal(&[2, 4 / g.groups, g.kernel, g.kernel])),
        ];
        if modulated {
            inputs.push(("mask", samples.uniform(&[1, offset_groups * taps, ho, wo], 0.0, 1.0)));
        }
        assert_equal(
            &format!("deformable {i}"),
            &inputs,
            |v| deform_conv2d(&v[0], &v[1], v.get(3), &v[2], None, g.options()),
            |v| {
                let mask = v.get(3).map(|mask| masks(mask, taps));
                let offsets = offsets(&v[1], taps);
                let weights =
                    deformable_weights(&lattice(h, w, g.stride), &g.taps(), &offsets, mask.as_ref(), 4);
                image(&equation_1(&weights, &tokens(&v[0]), None, &slices(&v[2], g.groups)), ho, wo)
            },
        );
    }
}

/// The paper's form: the offset is linear in the query's content, `w_m^T x_q`.
#[test]
fn deformable_convolution_with_offsets_from_the_query() {
    let (h, w, g) = (3, 3, Geometry::PLAIN);
    let mut samples = Samples::new(8);
    let inputs = [
        ("x", samples.normal(&[1, 2, h, w])),
        ("weight", samples.normal(&[2, 2, 3, 3])),
        ("offset_weight", samples.normal(&[18, 2, 1, 1]) * 0.4),
    ];
    assert_equal(
        "deformable pack",
        &inputs,
        |v| deform_conv2d_pack(&v[0], &v[1], None, &v[2], None, false, g.options()),
        |v| {
            let (x, predictor) = (tokens(&v[0]), d4(&v[2]));
            let offsets = Array4::from_shape_fn((h * w, 1, 9, 2), |(q, _, m, axis)| {
                (0..2).fold(v[0][IxDyn(&[0, 0, 0, 0])] * 0.0.into(), |sum, c| {
                    sum + predictor[[2 * m + axis, c, 0, 0]] * x[[q, c]]
                })
            });
            let weights = deformable_weights(&lattice(h, w, 1), &g.taps(), &offsets, None, 2);
            image(&equation_1(&weights, &x, None, &slices(&v[1], 1)), h, w)
        },
    );
}

#[test]
fn deformable_convolution_of_a_sequence() {
    let (t, taps_1d) = (5, 3);
    let mut samples = Samples::new(9);
    let inputs = [
        ("x", samples.normal(&[1, 2, t])),
        ("offset", samples.off_grid(&[1, taps_1d, t], -2, 2)),
        ("weight", samples.normal(&[3, 2, taps_1d])),
    ];
    assert_equal(
        "deformable 1-D",
        &inputs,
        |v| {
            deform_conv1d(
                &v[0],
                &v[1],
                None,
                &v[2],
                None,
                Conv1dOptions { padding: 1, ..Conv1dOptions::default() },
            )
        },
        |v| {
            let (x, offset) = (d3(&v[0]).index_axis_move(Axis(0), 0).reversed_axes(), d3(&v[1]));
            let zero = offset[[0, 0, 0]] * 0.0.into();
            let offsets =
                Array4::from_shape_fn(
                    (t, 1, taps_1d, 2),
                    |(q, _, m, axis)| {
                        if axis == 1 { offset[[0, m, q]] } else { zero }
                    },
                );
            let weights =
                deformable_weights(&lattice(1, t, 1), &taps((1, 3), (1, 1), (0, 1)), &offsets, None, 2);
            let weight = d3(&v[2]);
            let slices = Array3::from_shape_fn((taps_1d, 3, 2), |(m, o, c)| weight[[o, c, m]]);
            let y = equation_1(&weights, &x, None, &slices);
            y.reversed_axes().insert_axis(Axis(0)).as_standard_layout().into_owned().into_dyn()
        },
    );
}

/// The identity as the one `W_m` of a mechanism that has none.
fn identity<N: Number>(channels: usize) -> Array3<N> {
    Array3::from_shape_fn((1, channels, channels), |(_, o, c)| N::from(if o == c { 1.0 } else { 0.0 }))
}

#[test]
fn dynamic_convolution_of_an_image() {
    for (i, (groups, stride, pointwise)) in
        [(1, 1, false), (2, 1, true), (4, 2, true)].into_iter().enumerate()
    {
        let (h, w, channels) = (3usize, 4usize, 4);
        let mut samples = Samples::new(i as u64);
        let mut inputs =
            vec![("x", samples.normal(&[1, channels, h, w])), ("d", samples.normal(&[groups, 9, channels]))];
        if pointwise {
            inputs.push(("pointwise", samples.normal(&[3, channels, 1, 1])));
        }
        let options = Conv2dOptions::default().stride(stride).padding(1);
        assert_equal(
            &format!("dynamic 2-D {i}"),
            &inputs,
            |v| dynamic_conv_2d(&v[0], &v[1], 3, v.get(2), options).0,
            |v| {
                let (x, lattice) = (tokens(&v[0]), lattice(h, w, stride));
                let content = ndarray::stack(
                    Axis(0),
                    &lattice.queries().iter().map(|(y, col)| x.row(y * w + col)).collect::<Vec<_>>(),
                );
                let taps = taps((3, 3), (1, 1), (1, 1));
                let weights = dynamic_weights(&lattice, &taps, &d3(&v[1]), &content.unwrap(), channels);
                let output = v.get(2).map_or_else(|| identity(channels), |pointwise| slices(pointwise, 1));
                image(&equation_1(&weights, &x, None, &output), h.div_ceil(stride), w.div_ceil(stride))
            },
        );
    }
}

/// (T, 1, C) as tokens (T, C).
fn steps<N: Number>(x: &ArrayD<N>) -> Array2<N> {
    d3(x).index_axis_move(Axis(1), 0)
}

#[test]
fn dynamic_and_lightweight_convolution_of_a_sequence() {
    // Taps and padding on the left: centred, causal, and longer than the sequence.
    for (kernel, padding_l) in [(3, 1), (3, 2), (7, 3)] {
        let (t, channels, heads) = (5, 4, 2);
        let lattice = Lattice::Sequence { queries: t, keys: t };
        let taps = taps((1, kernel), (1, 1), (0, padding_l));
        let mut samples = Samples::new(kernel as u64 + padding_l as u64);
        let x = ("x", samples.normal(&[t, 1, channels]));
        let inputs = [x.clone(), ("weight_linear", samples.normal(&[heads * kernel, channels]))];
        let options = DynamicConvOptions::new(heads, kernel).padding_l(padding_l);
        assert_equal(
            &format!("dynamic 1-D, {kernel} taps, {padding_l} before"),
            &inputs,
            |v| dynamic_conv(&v[0], None, &v[1], None, None, options),
            |v| {
                let (x, d) = (steps(&v[0]), d2(&v[1]));
                let d = Array3::from_shape_fn((heads, kernel, channels), |(h, j, c)| d[[h * kernel + j, c]]);
                let weights = dynamic_weights(&lattice, &taps, &d, &x, channels);
                equation_1(&weights, &x, None, &identity(channels)).insert_axis(Axis(1)).into_dyn()
            },
        );
        // Lightweight convolution is the same with logits that no content moves.
        let inputs = [x, ("weight", samples.normal(&[heads, 1, kernel]))];
        assert_equal(
            &format!("lightweight, {kernel} taps, {padding_l} before"),
            &inputs,
            |v| lightweight_conv(&v[0], &v[1], None, padding_l, true),
            |v| {
                let (x, logits) = (steps(&v[0]), d3(&v[1]));
                let d = Array3::from_shape_fn((heads, kernel, 1), |(h, j, _)| logits[[h, 0, j]]);
                let content = Array2::from_elem((t, 1), 1.0.into());
                let weights = dynamic_weights(&lattice, &taps, &d, &content, channels);
                equation_1(&weights, &x, None, &identity(channels)).insert_axis(Axis(1)).into_dyn()
            },
        );
    }
}
