//! Test cases of the convolutions. Shapes are (batch, input channels per group, height, width).

use termwise_autograd::gradcheck::{Built, Case};

use super::{Conv1dOptions, Conv2dOptions, ConvKernels, conv_transpose2d, conv1d, conv2d};

/// Test cases of every operation in this folder.
pub fn cases<B: ConvKernels>() -> Vec<Case<B>> {
    [conv2d_cases(), conv1d_cases(), conv_transpose2d_cases()].into_iter().flatten().collect()
}

/// Whether a kernel fits into an image, so that the checker may shrink as far as that.
fn fits(image: &[usize], kernel: &[usize], padding: &[usize], dilation: &[usize]) -> bool {
    (0..image.len()).all(|a| image[a] + 2 * padding[a] > dilation[a] * (kernel[a] - 1))
}

fn conv2d_cases<B: ConvKernels>() -> Vec<Case<B>> {
    let case = |label: &str,
                shape: [usize; 4],
                outputs: usize,
                kernel: [usize; 2],
                bias: bool,
                options: Conv2dOptions| {
        Case::new("conv2d", label, &shape, move |shape, samples| {
            let &[n, channels, h, w] = shape else { return None };
            if channels == 0 || !fits(&[h, w], &kernel, &options.padding, &options.dilation) {
                return None;
            }
            let (inputs, outputs) = (channels * options.groups, outputs * options.groups);
            let x = ("x", samples.normal(&[n, inputs, h, w]));
            let weight = ("weight", samples.normal(&[outputs, channels, kernel[0], kernel[1]]));
            if bias {
                let bias = ("bias", samples.normal(&[outputs]));
                Built::new([x, weight, bias], move |v| conv2d(&v[0], &v[1], Some(&v[2]), options))
            } else {
                Built::new([x, weight], move |v| conv2d(&v[0], &v[1], None, options))
            }
        })
    };
    let new = Conv2dOptions::new;
    vec![
        case("1x1 image, 1x1 kernel", [1, 1, 1, 1], 1, [1, 1], true, new()),
        case("1x1 image, 3x3 kernel", [1, 2, 1, 1], 2, [3, 3], true, new().padding(1)),
        case("3x3", [2, 3, 5, 4], 2, [3, 3], true, new().padding(1)),
        case("3x3, stride 2", [1, 2, 6, 5], 3, [3, 3], true, new().padding(1).stride(2)),
        case(
            "3x3, dilation 2, groups 2",
            [1, 2, 6, 5],
            2,
            [3, 3],
            false,
            new().padding(2).dilation(2).groups(2),
        ),
        case("kernel larger than the image", [1, 2, 2, 3], 2, [5, 5], false, new().padding(2)),
        case("1x1, plain product", [2, 5, 3, 4], 3, [1, 1], true, new()),
        case("1x1, stride 2", [1, 4, 5, 5], 3, [1, 1], false, new().stride(2)),
        case("1x1, groups 2", [2, 3, 3, 2], 2, [1, 1], true, new().groups(2)),
        case("depthwise", [2, 1, 5, 4], 1, [3, 3], true, new().padding(1).groups(4)),
        case(
            "depthwise, multiplier 2, 1x3, stride (2, 1)",
            [1, 1, 5, 6],
            2,
            [1, 3],
            true,
            new().padding((0, 1)).stride((2, 1)).groups(3),
        ),
        case(
            "depthwise, stride 2, dilation 2",
            [1, 1, 7, 6],
            1,
            [3, 3],
            false,
            new().padding(2).stride(2).dilation(2).groups(2),
        ),
        case("padding wider than the kernel", [1, 1, 2, 3], 2, [2, 2], true, new().padding((2, 3))),
        case("empty batch", [0, 2, 4, 4], 2, [3, 3], true, new().padding(1)),
    ]
}

fn conv1d_cases<B: ConvKernels>() -> Vec<Case<B>> {
    let case = |label: &str, shape: [usize; 3], kernel: usize, options: Conv1dOptions| {
        Case::new("conv1d", label, &shape, move |shape, samples| {
            let &[n, channels, t] = shape else { return None };
            if channels == 0 || !fits(&[t], &[kernel], &[options.padding], &[options.dilation]) {
                return None;
            }
            let (inputs, outputs) = (channels * options.groups, 2 * options.groups);
            let x = ("x", samples.normal(&[n, inputs, t]));
            let weight = ("weight", samples.normal(&[outputs, channels, kernel]));
            let bias = ("bias", samples.normal(&[outputs]));
            Built::new([x, weight, bias], move |v| conv1d(&v[0], &v[1], Some(&v[2]), options))
        })
    };
    let new = Conv1dOptions::new;
    vec![
        case("one step", [1, 1, 1], 1, new()),
        case("kernel 3", [2, 3, 7], 3, new().padding(1)),
        case(
            "kernel 4, stride 2, dilation 2, groups 2",
            [1, 2, 9],
            4,
            new().padding(2).stride(2).dilation(2).groups(2),
        ),
        case("depthwise", [2, 1, 6], 3, new().padding(2).groups(3)),
    ]
}

fn conv_transpose2d_cases<B: ConvKernels>() -> Vec<Case<B>> {
    let case = |label: &str,
                shape: [usize; 4],
                kernel: [usize; 2],
                output_padding: [usize; 2],
                options: Conv2dOptions| {
        Case::new("conv_transpose2d", label, &shape, move |shape, samples| {
            let &[n, channels, h, w] = shape else { return None };
            let image = [h, w];
            let empty = (0..2).any(|a| {
                let full =
                    (image[a].max(1) - 1) * options.stride[a] + options.dilation[a] * (kernel[a] - 1) + 1;
                image[a] == 0 || full + output_padding[a] <= 2 * options.padding[a]
            });
            if channels == 0 || empty {
                return None;
            }
            let (inputs, group_outputs) = (channels * options.groups, 2);
            let x = ("x", samples.normal(&[n, inputs, h, w]));
            let weight = ("weight", samples.normal(&[inputs, group_outputs, kernel[0], kernel[1]]));
            let bias = ("bias", samples.normal(&[group_outputs * options.groups]));
            Built::new([x, weight, bias], move |v| {
                conv_transpose2d(&v[0], &v[1], Some(&v[2]), options, output_padding)
            })
        })
    };
    let new = Conv2dOptions::new;
    vec![
        case("1x1", [1, 1, 1, 1], [1, 1], [0, 0], new()),
        case("2x2, stride 2", [2, 3, 3, 2], [2, 2], [0, 0], new().stride(2)),
        case("3x3, stride 2, output padding 1", [1, 3, 3, 4], [3, 3], [1, 1], new().stride(2).padding(1)),
        case("groups 2", [1, 2, 3, 3], [4, 4], [0, 0], new().stride(2).padding(1).groups(2)),
        case(
            "dilation (2, 3), output padding (1, 2)",
            [1, 2, 4, 3],
            [3, 2],
            [1, 2],
            new().padding(1).dilation((2, 3)),
        ),
        case("one output channel per group", [1, 1, 4, 3], [3, 3], [0, 0], new().groups(3).padding((0, 1))),
    ]
}
