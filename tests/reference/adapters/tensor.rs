//! Arithmetic, reductions, products and shape; and the bookkeeping of the tape.

use termwise_autograd::Var;
use termwise_ops::Kernels;
use termwise_ops::{
    abs, add, add_scalar, amax, cat, clamp, cube, div, exp, expand, linear, log, logsumexp, matmul, maximum,
    mean, minimum, mul, neg, permute, relu, reshape, sigmoid, slice, split, sqrt, square, sub, sum, var,
};

use super::Table;
use crate::case::Case;

pub fn table<B: Kernels>() -> Table<B> {
    vec![
        ("broadcast_add", |case| binary(case, add)),
        ("broadcast_sub", |case| binary(case, sub)),
        ("broadcast_mul", |case| binary(case, mul)),
        ("broadcast_div", |case| binary(case, div)),
        ("matmul", |case| binary(case, matmul)),
        ("maximum", extremes),
        ("reduce_sum", |case| reduction(case, sum)),
        ("reduce_mean", |case| reduction(case, mean)),
        ("reduce_max", |case| reduction(case, amax)),
        ("logsumexp", |case| reduction(case, logsumexp)),
        ("reduce_var", |case| {
            let unbiased = case.attrs.flag("unbiased");
            reduction(case, |x, axes, keepdim| var(x, axes, keepdim, unbiased));
        }),
        ("linear", affine),
        ("elementwise_math", math),
        ("reshape", reshaped),
        ("permute", permuted),
        ("expand", expanded),
        ("slice", sliced),
        ("cat", joined),
        ("split", parted),
        ("reuse", reuse),
        ("detach", detach),
    ]
}

fn binary<B: Kernels>(case: &mut Case<B>, f: impl Fn(&Var<B>, &Var<B>) -> Var<B>) {
    let (a, b) = (case.input("a"), case.input("b"));
    case.output("y", &f(&a, &b));
}

fn extremes<B: Kernels>(case: &mut Case<B>) {
    let (a, b) = (case.input("a"), case.input("b"));
    case.output("max", &maximum(&a, &b));
    case.output("min", &minimum(&a, &b));
}

fn reduction<B: Kernels>(case: &mut Case<B>, f: impl Fn(&Var<B>, Option<&[isize]>, bool) -> Var<B>) {
    // No axis at all means all of them.
    let axes = case.attrs.list::<isize>("dim").filter(|axes| !axes.is_empty());
    let keepdim = case.attrs.flag("keepdim");
    case.map("x", |x| f(x, axes.as_deref(), keepdim));
}

fn affine<B: Kernels>(case: &mut Case<B>) {
    let (x, weight) = (case.input("x"), case.param("weight"));
    let bias = case.optional_param("bias", "bias");
    case.output("y", &linear(&x, &weight, bias.as_ref()));
}

/// The functions that the attribute `ops` lists, each with an output of its own.
fn math<B: Kernels>(case: &mut Case<B>) {
    let x = case.input("x");
    let ops: Vec<String> = serde_json::from_value(case.attrs.get("ops").expect("ops").clone())
        .expect("ops is a list of strings");
    for op in ops {
        match op.as_str() {
            "exp" => case.output("exp", &exp(&x)),
            "log(|x|+1)" => case.output("log", &log(&add_scalar(&abs(&x), 1.0))),
            "sqrt(x^2+1)" => case.output("sqrt", &sqrt(&add_scalar(&square(&x), 1.0))),
            "x^3" => case.output("cube", &cube(&x)),
            "abs" => case.output("abs", &abs(&x)),
            "neg" => case.output("neg", &neg(&x)),
            op => {
                let bounds = op.strip_prefix("clamp(").and_then(|op| op.strip_suffix(')'));
                let (low, high) = bounds
                    .and_then(|bounds| bounds.split_once(','))
                    .unwrap_or_else(|| panic!("unknown {op}"));
                let number = |text: &str| text.trim().parse::<f64>().expect("a bound of clamp");
                case.output("clamp", &clamp(&x, number(low), number(high)));
            }
        }
    }
}

fn reshaped<B: Kernels>(case: &mut Case<B>) {
    let shape: Vec<i64> = case.attrs.list("shape").expect("shape");
    case.map("x", |x| {
        // -1 stands for what is left.
        let known: i64 = shape.iter().filter(|&&extent| extent >= 0).product();
        let rest = x.value().len() as i64 / known.max(1);
        let shape: Vec<usize> = shape.iter().map(|&e| if e < 0 { rest } else { e } as usize).collect();
        reshape(x, &shape)
    });
}

fn permuted<B: Kernels>(case: &mut Case<B>) {
    let axes: Vec<isize> = case.attrs.list("dims").expect("dims");
    case.map("x", |x| permute(x, &axes));
}

fn expanded<B: Kernels>(case: &mut Case<B>) {
    let size: Vec<i64> = case.attrs.list("size").expect("size");
    case.map("x", |x| {
        // -1 keeps the extent, axes counted from the last.
        let extent = |i: usize| match size[i] {
            -1 => x.shape()[i + x.ndim() - size.len()],
            extent => extent as usize,
        };
        expand(x, &(0..size.len()).map(extent).collect::<Vec<usize>>())
    });
}

fn sliced<B: Kernels>(case: &mut Case<B>) {
    case.attrs.note("order");
    let slices = case.attrs.get("slices").expect("slices").clone();
    let slices: Vec<[Option<isize>; 3]> =
        serde_json::from_value(slices).expect("[start, stop, step] per axis");
    let ranges: Vec<[isize; 3]> = slices
        .into_iter()
        .map(|[start, stop, step]| [start.unwrap_or(0), stop.unwrap_or(isize::MAX), step.unwrap_or(1)])
        .collect();
    case.map("x", |x| slice(x, &ranges));
}

fn joined<B: Kernels>(case: &mut Case<B>) {
    let axis = case.attrs.whole("dim").unwrap_or(0);
    let count: usize = case.attrs.whole("n").unwrap_or_else(|| case.names("in.x").len());
    let xs: Vec<Var<B>> = (0..count).map(|i| case.input(&format!("x{i}"))).collect();
    case.output("y", &cat(&xs.iter().collect::<Vec<_>>(), axis));
}

fn parted<B: Kernels>(case: &mut Case<B>) {
    let (x, axis) = (case.input("x"), case.attrs.whole::<isize>("dim").unwrap_or(0));
    let sizes: Vec<usize> = case.attrs.list("sizes").expect("sizes");
    for (i, y) in split(&x, &sizes, axis).iter().enumerate() {
        case.output(&format!("y{i}"), y);
    }
}

/// `y = x x + sigmoid(x W) x` and `z = relu(x W + 0.3) W`: everything is used more than once.
fn reuse<B: Kernels>(case: &mut Case<B>) {
    case.attrs.note("formula");
    let (x, w) = (case.input("x"), case.param("W"));
    let xw = matmul::<B>(&x, &w);
    case.output("y", &add(&mul(&x, &x), &mul(&sigmoid(&xw), &x)));
    case.output("z", &matmul(&relu(&add_scalar(&xw, 0.3)), &w));
}

/// `y = x detach(x^2) + x`
fn detach<B: Kernels>(case: &mut Case<B>) {
    case.attrs.note("formula");
    case.map("x", |x| add(&mul(x, &square(x).detach()), x));
}
