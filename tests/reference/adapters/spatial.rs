//! Pooling, resizing and region sampling.

use termwise_ops::Kernels;
use termwise_ops::{
    AvgPool2d, Interpolation, Resize, RoiAlign, Window, adaptive_avg_pool2d, avg_pool2d, interpolate,
    max_pool2d, max_pool2d_with_indices, roi_align,
};

use super::Table;
use crate::case::Case;

pub fn table<B: Kernels>() -> Table<B> {
    vec![
        ("avg_pool2d", average),
        ("max_pool2d", maximum),
        ("adaptive_avg_pool2d", adaptive),
        ("interpolate", resized),
        ("roi_align", regions),
    ]
}

/// The sliding window; without a stride the windows tile.
fn window<B: Kernels>(case: &Case<B>) -> Window {
    let attrs = &case.attrs;
    let kernel_size = attrs.pair("kernel_size").expect("kernel_size");
    Window {
        kernel_size,
        stride: attrs.pair("stride").unwrap_or(kernel_size),
        padding: attrs.pair("padding").unwrap_or([0; 2]),
        dilation: attrs.pair("dilation").unwrap_or([1; 2]),
        ceil_mode: attrs.flag("ceil_mode"),
    }
}

fn average<B: Kernels>(case: &mut Case<B>) {
    let settings = AvgPool2d {
        window: window(case),
        count_include_pad: case.attrs.flag_or("count_include_pad", true),
        divisor_override: case.attrs.number("divisor_override"),
    };
    case.map("x", |x| avg_pool2d(x, &settings));
}

fn maximum<B: Kernels>(case: &mut Case<B>) {
    let (x, window) = (case.input("x"), window(case));
    let (y, indices) = max_pool2d_with_indices(&x, &window);
    case.output("y", &y);
    if case.has("out.indices") {
        case.exact("indices", &indices);
    }
    if max_pool2d(&x, &window).value().to_f64() != y.value().to_f64() {
        case.fail("out.y", "max_pool2d and max_pool2d_with_indices differ".to_string());
    }
}

fn adaptive<B: Kernels>(case: &mut Case<B>) {
    let size = case.attrs.pair("output_size").expect("output_size");
    case.map("x", |x| adaptive_avg_pool2d(x, size));
}

fn resized<B: Kernels>(case: &mut Case<B>) {
    let attrs = &case.attrs;
    let resize = match (attrs.pair("size"), attrs.number_pair("scale_factor")) {
        (Some(size), None) => Resize::Size(size),
        (None, Some(factors)) => Resize::Scale(factors),
        _ => panic!("expected either `size` or `scale_factor`"),
    };
    let align_corners = attrs.flag("align_corners");
    let mode = match attrs.text("mode").unwrap_or("nearest") {
        "nearest" => Interpolation::Nearest,
        "bilinear" => Interpolation::Bilinear { align_corners },
        other => panic!("unknown mode {other}"),
    };
    case.map("x", |x| interpolate(x, resize, mode));
}

fn regions<B: Kernels>(case: &mut Case<B>) {
    let settings = RoiAlign {
        output_size: case.attrs.pair("output_size").expect("output_size"),
        spatial_scale: case.attrs.number("spatial_scale").unwrap_or(1.0),
        sampling_ratio: case.attrs.whole("sampling_ratio").unwrap_or(-1),
        aligned: case.attrs.flag("aligned"),
    };
    let boxes = case.numbers("in.boxes");
    case.map("x", |x| roi_align(x, &boxes, &settings));
}
