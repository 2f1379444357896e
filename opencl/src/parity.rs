//! Test cases of operations on a device and, in `f64`, on the host: outputs and gradients.

use termwise_autograd::gradcheck::{Built, Case, Samples};
use termwise_autograd::{Array, Backend, Cpu, Scalar, Tape};

use crate::backend::{Device, OpenCl};
use crate::buffer::Real;

/// One case, on a device and on the host.
#[derive(Clone, Debug)]
pub struct CaseParity {
    /// The operation.
    pub op: &'static str,
    /// The case, its shape included.
    pub case: String,
    /// `f32` or `f64`.
    pub scalar: &'static str,
    /// How near to its bound it came (1 is at the bound), or what is wrong.
    pub result: Result<f64, String>,
}

/// Compares every case of every operation, or of the one called `op`, in `f32` and, where the device computes in it, in
/// `f64`; `on_case` is told each.
///
/// # Errors
/// If the device cannot be used.
pub fn compare_all(
    device: &Device,
    op: Option<&str>,
    on_case: &mut dyn FnMut(CaseParity),
) -> Result<(), crate::OpenClError> {
    let host = termwise_ops::cases_f64();
    compare_in::<f32>(device, &host, op, on_case)?;
    if device.info().double {
        compare_in::<f64>(device, &host, op, on_case)?;
    }
    Ok(())
}

fn compare_in<T: Real>(
    device: &Device,
    host: &[Case<Cpu<f64>>],
    op: Option<&str>,
    on_case: &mut dyn FnMut(CaseParity),
) -> Result<(), crate::OpenClError> {
    let backend = OpenCl::<T>::new(device)?;
    let cases = termwise_ops::all_cases::<OpenCl<T>>();
    for (case, host) in cases.iter().zip(host).filter(|(case, _)| op.is_none_or(|op| case.op() == op)) {
        let result = compare(&backend, case, host);
        on_case(CaseParity { op: case.op(), case: format!("{case:?}"), scalar: T::NAME, result });
    }
    Ok(())
}

/// How many random roundings of the inputs measure what rounding may do.
const ROUNDINGS: usize = 3;
/// How many times as much as rounding the inputs a run may do; it rounds at every step.
const MULTIPLE: f64 = 16.0;
/// Units in the last place of its largest number that a tensor may be off by in any case.
const UNITS: f64 = 8.0;
/// What a tensor may be off by in any case, in units in the last place of 1.
const FLOOR: f64 = 2.0;

/// The output, and the gradient of each input.
struct Tensors(Vec<Vec<f64>>);

/// How near to its bound the device's run is (1 is at the bound), or what is wrong: too far off, or other bits the second
/// time.
///
/// Inputs are rounded to the device's number type first, so that both see the same numbers. The bound on each tensor is
/// 8 units in the last place of its largest magnitude plus 16 times the most that a change of the inputs by about one
/// unit in the last place does to the `f64` run: an ill-conditioned function is given the room that it needs and no
/// more. A gradient that cancels to zero is allowed what rounding leaves of it.
///
/// # Errors
/// What is wrong, with numbers.
pub fn compare<T: Real>(
    backend: &OpenCl<T>,
    device: &Case<OpenCl<T>>,
    host: &Case<Cpu<f64>>,
) -> Result<f64, String> {
    const SEED: u64 = 7;
    let built = host.build(SEED).ok_or("the case has no inputs at its own shape")?;
    let on_device = device.build(SEED).ok_or("the case has no inputs at its own shape")?;
    let epsilon = T::epsilon().as_f64();
    let mut samples = Samples::new(SEED ^ 0xF32);
    let round = |v: f64| T::of(v).as_f64();
    let values: Vec<Vec<f64>> =
        built.inputs.iter().map(|(_, value)| value.iter().map(|&v| round(v)).collect()).collect();
    let host = Cpu::<f64>::new();
    let len = run(&host, &built, &values, None).0[0].len();
    let random = |samples: &mut Samples, len: usize| samples.normal(&[len]).into_iter().collect::<Vec<f64>>();
    let cotangent: Vec<f64> = random(&mut samples, len).into_iter().map(round).collect();

    let expected = run(&host, &built, &values, Some(&cotangent)).0;
    let found = run(backend, &on_device, &values, Some(&cotangent)).0;
    let again = run(backend, &on_device, &values, Some(&cotangent)).0;
    let bits = |tensors: &[Vec<f64>]| tensors.iter().flatten().map(|v| v.to_bits()).collect::<Vec<_>>();
    if bits(&found) != bits(&again) {
        return Err("two runs give other bits".into());
    }
    let mut sensitivity = vec![0.0_f64; expected.len()];
    for _ in 0..ROUNDINGS {
        let mut jitter = |values: &[f64]| -> Vec<f64> {
            let shifts = random(&mut samples, values.len());
            values.iter().zip(shifts).map(|(v, shift)| v * (1.0 + epsilon * shift)).collect()
        };
        let moved: Vec<Vec<f64>> = values.iter().map(|values| jitter(values)).collect();
        let moved = run(&host, &built, &moved, Some(&jitter(&cotangent))).0;
        for (sensitivity, (a, b)) in sensitivity.iter_mut().zip(moved.iter().zip(&expected)) {
            *sensitivity = sensitivity.max(largest_difference(a, b));
        }
    }
    let output_size = largest(&expected[0]);
    let mut nearest = 0.0_f64;
    for (position, (expected, found)) in expected.iter().zip(&found).enumerate() {
        let cancelled = match position {
            0 => 0.0,
            input => 64.0 * epsilon * output_size / largest(&values[input - 1]).max(1e-30),
        };
        let bound = UNITS * epsilon * largest(expected)
            + MULTIPLE * sensitivity[position]
            + cancelled
            + FLOOR * epsilon;
        let difference = largest_difference(expected, found);
        // Not `>`: a NaN is far away.
        let near = difference <= bound;
        if !near {
            let what = match position {
                0 => "the output".to_string(),
                input => format!("the gradient of {}", built.inputs[input - 1].0),
            };
            let shown = |values: &[f64]| format!("{:?}", &values[..values.len().min(6)]);
            return Err(format!(
                "{what} is {difference:.2e} from f64, the bound is {bound:.2e}; it begins {}, expected {}",
                shown(found),
                shown(expected)
            ));
        }
        nearest = nearest.max(difference / bound);
    }
    Ok(nearest)
}

fn run<B: Backend>(backend: &B, built: &Built<B>, values: &[Vec<f64>], cotangent: Option<&[f64]>) -> Tensors {
    let tape = Tape::new(backend.clone());
    let array = |shape: &[usize], values: &[f64]| {
        Array::from_vec(backend, shape, values.iter().map(|&v| B::Scalar::of(v)).collect())
    };
    let numbers =
        |array: &Array<B>| backend.download(array.buffer()).iter().map(|v| v.as_f64()).collect::<Vec<_>>();
    let leaves: Vec<_> = built
        .inputs
        .iter()
        .zip(values)
        .map(|((_, input), values)| tape.leaf(array(input.shape(), values)))
        .collect();
    let output = (built.run)(&leaves);
    let mut tensors = vec![numbers(output.value())];
    if let Some(cotangent) = cotangent {
        let gradients = tape.backward_with(&[(&output, array(output.shape(), cotangent))]);
        tensors.extend(leaves.iter().map(|leaf| match gradients.of(leaf) {
            Some(gradient) => numbers(gradient),
            None => vec![0.0; leaf.value().len()],
        }));
    }
    Tensors(tensors)
}

fn largest(values: &[f64]) -> f64 {
    values.iter().map(|v| v.abs()).fold(0.0, f64::max)
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let differences = a.iter().zip(b).map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() });
    differences.map(|d| if d.is_nan() { f64::INFINITY } else { d }).fold(0.0, f64::max)
}
