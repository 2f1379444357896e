//! Every mechanism of the lesson as the same dense matrix over queries and keys, and what it costs in a real layer.

use ndarray::{Array2, Array3, Array4, ArrayD};
use serde_json::{Value, json};
use termwise_autograd::{Array, Cpu, Module, Tape};
use termwise_models::Init;
use termwise_models::layers::{AttentionLayer, AttentionSpec, Conv2d, DeformConv2d, Extent, attention_flops};
use termwise_ops::attention::definition::{deformable_weights, dynamic_weights, regular_weights, taps};
use termwise_ops::attention::{
    AttentionCode, AttentionModule, Lattice, Terms, TransformerSettings, attention_2d_with_maps,
};
use termwise_ops::{Conv2dOptions, conv2d};

use super::fields::Fields;
use super::http::Failure;
use super::lesson;
use super::scene::Scene;

/// The longest side of a scene whose matrix is drawn.
const SIZE: usize = 12;
/// Channels and heads of the real layer whose cost is told: those of the probes.
const REAL: [usize; 2] = [32, 4];
/// Taps of its dynamic convolution in each direction.
const KERNEL: usize = 3;

/// Answers `matrix`.
pub fn matrix(value: &Value) -> Result<Value, Failure> {
    let fields = Fields::of(value, "", &["scene", "mechanism"])?;
    let scene = Scene::read(fields.value("scene")?, SIZE)?;
    let code: AttentionCode = fields.parsed("mechanism")?;
    let terms = code.module.terms();
    let convolution = if code.deformable { deformed(&scene) } else { regular(&scene) };
    let spatial = if code.deformable { "deformable convolution" } else { "regular convolution" };
    let mut parts = Vec::new();
    if convolves(code) {
        parts.push((spatial, convolution));
    }
    if code.module.is_dynamic() {
        parts.push(("dynamic convolution", dynamic(&scene)));
    }
    if let Some(terms) = terms {
        parts.push(("Transformer attention", transformer(&scene, terms)));
    }
    let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
    let meaning = match names.as_slice() {
        ["Transformer attention"] => "the softmax over the keys, of the one head".to_owned(),
        ["dynamic convolution"] => "the softmax over the taps that the query's content predicts, each at its key".to_owned(),
        [_] => "the kernel's weight of each tap times the weight with which the tap reads the key, summed over the taps".to_owned(),
        several => format!(
            "the product of the matrices of {}, each computed from the scene itself, the taps of convolutions summed with \
             the kernel's weights",
            several.join(" and then ")
        ),
    };
    let whole = parts.into_iter().map(|(_, weights)| weights).reduce(|first, then| then.dot(&first));
    let cells = scene.height * scene.width;
    let extent = Extent::Image(scene.height, scene.width);
    let [channels, heads] = REAL;
    let counted = counts(code, extent);
    let formula: Vec<String> = counted.iter().map(|(name, text, _)| format!("{text} ({name})")).collect();
    Ok(json!({
        "queries": cells,
        "keys": cells,
        "weights": whole.map(|weights| weights.into_raw_vec_and_offset().0),
        "meaning": meaning,
        "channels": channels,
        "heads": heads,
        "flops": flops(code, extent),
        "flops_formula": format!(
            "{}; N = {cells} places of {} x {}, C = {channels} channels, M = {heads} heads",
            formula.join(" + "),
            scene.height,
            scene.width
        ),
        "flops_parts": counted.iter().map(|(name, text, value)| json!({"name": name, "formula": text, "value": value})).collect::<Vec<_>>(),
        "parameters": parameters(code),
        "parameters_meaning": format!("of a real layer with C = {channels}, M = {heads}"),
    }))
}

fn lattice(scene: &Scene) -> Lattice {
    Lattice::Image { height: scene.height, width: scene.width, query_stride: 1, key_stride: 1 }
}

/// The offsets of the nine taps.
fn nine() -> Vec<(i64, i64)> {
    taps((3, 3), (1, 1), (1, 1))
}

/// `sum_m kernel_m A_m` of weights `A` (taps, Q, K, 1).
fn over_taps(weights: &Array4<f64>) -> Array2<f64> {
    let (_, queries, keys, _) = weights.dim();
    let kernel = lesson::taps();
    Array2::from_shape_fn((queries, keys), |(q, k)| (0..9).map(|m| kernel[m] * weights[[m, q, k, 0]]).sum())
}

fn regular(scene: &Scene) -> Array2<f64> {
    over_taps(&regular_weights(&lattice(scene), &nine()))
}

/// The content of the cells, (Q, C).
fn rows(scene: &Scene) -> Array2<f64> {
    let cells = scene.height * scene.width;
    let content = lesson::content(scene);
    let planes = content.into_shape_with_order((lesson::CONTENT, cells)).expect("as many values");
    planes.reversed_axes()
}

fn deformed(scene: &Scene) -> Array2<f64> {
    let tape = Tape::inference(Cpu::<f64>::new());
    let constant = |array: &ArrayD<f64>| tape.constant(Array::from_f64(tape.backend(), array));
    let x = constant(&lesson::content(scene));
    let planes =
        conv2d(&x, &constant(&lesson::offset_predictor()), None, Conv2dOptions::new()).value().to_f64();
    let at = |(q, _, tap, axis): (usize, usize, usize, usize)| {
        planes[[0, 2 * tap + axis, q / scene.width, q % scene.width]]
    };
    let offsets = Array4::from_shape_fn((scene.height * scene.width, 1, 9, 2), at);
    over_taps(&deformable_weights(&lattice(scene), &nine(), &offsets, None, 1))
}

fn dynamic(scene: &Scene) -> Array2<f64> {
    let predictor: Array3<f64> = lesson::kernel_predictor().into_dimensionality().expect("three axes");
    let weights = dynamic_weights(&lattice(scene), &nine(), &predictor, &rows(scene), 1);
    weights.slice(ndarray::s![0, .., .., 0]).to_owned()
}

fn transformer(scene: &Scene, terms: Terms) -> Array2<f64> {
    let tape = Tape::inference(Cpu::<f64>::new());
    let x = tape.constant(Array::from_f64(tape.backend(), &lesson::content(scene)));
    let settings = TransformerSettings { terms, ..lesson::settings() };
    let (_, maps) = attention_2d_with_maps(&x, &lesson::projections(&lesson::leaves(&tape)), &settings);
    let weights = maps.weights.to_f64(); // (1, 1, rows, K), one row where all queries share it
    let shared = weights.shape()[2] == 1;
    let cells = scene.height * scene.width;
    Array2::from_shape_fn((cells, cells), |(q, k)| weights[[0, 0, if shared { 0 } else { q }, k]])
}

/// Whether a 3x3 convolution, regular or deformable, is one of the parts of a matrix.
fn convolves(code: AttentionCode) -> bool {
    code.deformable || code.module == AttentionModule::None
}

/// Multiply-adds of a real layer: what the models count of attention, and the 3x3 convolution, which they take for part
/// of the network, where it is what is looked at.
fn flops(code: AttentionCode, extent: Extent) -> f64 {
    let [channels, heads] = REAL;
    let convolution = (9 * extent.positions() * channels * channels) as f64;
    attention_flops(code, extent, [channels, heads, KERNEL], false)
        + if convolves(code) { convolution } else { 0.0 }
}

/// Parameters of a real layer.
fn parameters(code: AttentionCode) -> usize {
    let [channels, num_heads] = REAL;
    let mut init = Init::new(Cpu::<f32>::new(), 0);
    let count = |module: &dyn Module<Cpu<f32>>| -> usize {
        module.parameters().iter().map(|(_, param)| param.shape().iter().product::<usize>()).sum()
    };
    let spec = AttentionSpec { code, num_heads, limit_range: false };
    let module = count(&AttentionLayer::new(spec, channels, &mut init));
    let square = [channels, channels];
    module
        + if code.deformable {
            count(&DeformConv2d::new(square, 3, 1, &mut init))
        } else if convolves(code) {
            count(&Conv2d::new(square, 3, 1, &mut init))
        } else {
            0
        }
}

/// The parts of [`flops`]: what for, the formula, the count. Their sum is what it says.
fn counts(code: AttentionCode, extent: Extent) -> Vec<(&'static str, &'static str, f64)> {
    let Extent::Image(height, width) = extent else { return Vec::new() };
    let [c, heads] = REAL.map(|number| number as f64);
    let (n, sides, taps) = ((height * width) as f64, (height + width) as f64, (KERNEL * KERNEL) as f64);
    let mut parts = Vec::new();
    if convolves(code) {
        parts.push(("3x3 convolution", "9 N C²", 9.0 * n * c * c));
    }
    if code.module.is_dynamic() {
        parts.push(("linear layers of dynamic convolution", "3 N C²", 3.0 * n * c * c));
        parts.push((
            "kernels predicted and applied, G = M groups of 9 taps",
            "9 N C (G + 1)",
            n * c * (heads + 1.0) * taps,
        ));
    }
    if let Some(terms) = code.module.terms() {
        let by_query = terms.uses_query() || terms.uses_position();
        let all = [
            (true, "values and output", "2 N C²", 2.0 * n * c * c),
            (terms.uses_query(), "queries", "N C²", n * c * c),
            (terms.uses_key(), "keys", "N C²", n * c * c),
            (terms.uses_position(), "positions", "(H + W) C²", sides * c * c),
            (terms.query_key, "E1", "N² C", n * n * c),
            (terms.query_position, "E2", "N min(H + W, N) C", n * sides.min(n) * c),
            (terms.key, "E3", "N C", n * c),
            (terms.position, "E4", "(H + W) C", sides * c),
            (by_query, "sum over the keys", "N² C", n * n * c),
            (!by_query, "sum over the keys, the same for all queries", "N C", n * c),
        ];
        parts.extend(all.into_iter().filter(|part| part.0).map(|(_, name, text, value)| (name, text, value)));
    }
    if code.deformable {
        let value = n * c * (2.0 * 81.0 + 4.0 * 9.0);
        parts.push(("offsets of 9 taps, and bilinear samples", "(162 + 36) N C", value));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_add_up_to_what_the_models_count() {
        let codes = Terms::all().map(|terms| terms.to_string());
        let mut codes: Vec<String> = codes.collect();
        codes.extend(
            ["w/o", "deformable", "dynamic", "0010+dynamic", "1111+deformable", "dynamic+deformable"]
                .map(String::from),
        );
        for code in codes {
            for (height, width) in [(1, 1), (1, 5), (4, 6), (12, 12)] {
                let (code, extent) = (code.parse().unwrap(), Extent::Image(height, width));
                let sum: f64 = counts(code, extent).iter().map(|part| part.2).sum();
                assert_eq!(sum, flops(code, extent), "{code} {height} x {width}");
            }
        }
    }

    /// The matrices are what the ops compute: applied to the colours they give the ops' output.
    #[test]
    fn the_matrices_do_what_the_ops_do() {
        use termwise_ops::attention::attention_2d;
        use termwise_ops::{deform_conv2d_pack, dynamic_conv_2d_output};
        let scene = Scene::named("arrows", 7, 3).unwrap();
        let tape = Tape::inference(Cpu::<f64>::new());
        let constant = |array: &ArrayD<f64>| tape.constant(Array::from_f64(tape.backend(), array));
        let x = constant(&lesson::content(&scene));
        let kernel = constant(&lesson::kernel());
        let options = Conv2dOptions::new().padding(1);
        let settings = TransformerSettings { terms: "0110".parse().unwrap(), ..lesson::settings() };
        let predictor = constant(&lesson::offset_predictor());
        let outputs = [
            (regular(&scene), conv2d(&x, &kernel, None, options)),
            (deformed(&scene), deform_conv2d_pack(&x, &kernel, None, &predictor, None, false, options)),
            (
                dynamic(&scene),
                dynamic_conv_2d_output(
                    &x,
                    &constant(&lesson::kernel_predictor()),
                    3,
                    Some(&constant(&lesson::colours())),
                    options,
                ),
            ),
            (
                transformer(&scene, settings.terms),
                attention_2d(&x, &lesson::projections(&lesson::leaves(&tape)), &settings),
            ),
        ];
        for (i, (matrix, output)) in outputs.iter().enumerate() {
            let mixed = matrix.dot(&rows(&scene)); // (Q, 9)
            for c in 0..3 {
                for q in 0..49 {
                    let (mixed, output) = (mixed[[q, c]], output.value().as_slice()[c * 49 + q]);
                    assert!((mixed - output).abs() < 1e-12, "{i}: {mixed} {output}");
                }
            }
        }
    }
}
