//! Deformable and dynamic convolution of the lesson at one query, by their ops.

use serde_json::{Value, json};
use termwise_autograd::{Array, Cpu, Tape, Var};
use termwise_ops::{
    Conv2dOptions, conv2d, deform_conv2d, dynamic_conv_2d, mul, narrow, reshape, scale, sub, sum,
};

use super::engine::target;
use super::fields::Fields;
use super::http::Failure;
use super::lesson::{self, COLOURS};
use super::scene::{SIZE, Scene};

type B = Cpu<f64>;

/// Offsets of the nine taps, (dy, dx).
type Offsets = [[f64; 2]; 9];

/// Taps of the kernel.
const TAPS: usize = 9;
/// The largest offset that a question may ask for.
const FARTHEST: f64 = 64.0;
/// The most places of a scan.
const PLACES: u64 = 400;

/// A scene, a query in it, and what its output should be.
struct Place {
    scene: Scene,
    query: usize,
    target: [f64; COLOURS],
}

impl Place {
    fn read(fields: &Fields) -> Result<Self, Failure> {
        let scene = Scene::read(fields.value("scene")?, SIZE)?;
        let query = scene.cell(fields, "query")?;
        let target = target(fields)?.unwrap_or_default();
        Ok(Place { scene, query, target })
    }

    fn content(&self, tape: &Tape<B>) -> Var<B> {
        tape.constant(Array::from_f64(tape.backend(), &lesson::content(&self.scene)))
    }

    /// The offsets that the query's content predicts.
    fn predicted(&self) -> Offsets {
        let tape = Tape::inference(Cpu::new());
        let predictor = tape.constant(Array::from_f64(tape.backend(), &lesson::offset_predictor()));
        let planes = conv2d(&self.content(&tape), &predictor, None, Conv2dOptions::new()); // (1, 18, H, W)
        let cells = self.scene.height * self.scene.width;
        let at = |plane: usize| planes.value().as_slice()[plane * cells + self.query];
        std::array::from_fn(|tap| [at(2 * tap), at(2 * tap + 1)])
    }

    /// The offsets that a question holds, or those that are predicted.
    fn offsets(&self, fields: &Fields) -> Result<Offsets, Failure> {
        let Some(value) = fields.get("offsets") else { return Ok(self.predicted()) };
        let expected = format!("9 pairs [dy, dx] from -{FARTHEST} to {FARTHEST}");
        let wrong = || fields.wrong("offsets", &expected);
        let taps = value.as_array().filter(|taps| taps.len() == TAPS).ok_or_else(wrong)?;
        let mut offsets = Offsets::default();
        for (offset, tap) in offsets.iter_mut().zip(taps) {
            let pair = tap.as_array().filter(|pair| pair.len() == 2).ok_or_else(wrong)?;
            for (value, number) in offset.iter_mut().zip(pair) {
                *value = number.as_f64().filter(|v| v.abs() <= FARTHEST).ok_or_else(wrong)?;
            }
        }
        Ok(offsets)
    }

    /// Offsets (N, 18, H, W) that are those given at the query of each of N samples, and zero elsewhere.
    fn spread(&self, samples: &[Offsets]) -> Array<B> {
        let (h, w) = (self.scene.height, self.scene.width);
        let mut values = vec![0.0; samples.len() * 2 * TAPS * h * w];
        for (n, offsets) in samples.iter().enumerate() {
            for (plane, value) in offsets.iter().flatten().enumerate() {
                values[(n * 2 * TAPS + plane) * h * w + self.query] = *value;
            }
        }
        Array::host(&[samples.len(), 2 * TAPS, h, w], values)
    }

    /// What deformable convolution with `weight` gives at the query, (N, O), from the colours of N equal samples.
    fn deformed(&self, offsets: &Var<B>, weight: &Array<B>) -> Var<B> {
        let tape = offsets.tape();
        let (n, h, w) = (offsets.shape()[0], self.scene.height, self.scene.width);
        let colours = lesson::content(&self.scene).into_raw_vec_and_offset().0[..COLOURS * h * w].repeat(n);
        let x = tape.constant(Array::host(&[n, COLOURS, h, w], colours));
        let y = deform_conv2d(
            &x,
            offsets,
            None,
            &tape.constant(weight.clone()),
            None,
            Conv2dOptions::new().padding(1),
        );
        let outputs = y.shape()[1];
        reshape(&narrow(&reshape(&y, &[n, outputs, h * w]), 2, self.query, 1), &[n, outputs])
    }

    /// `1/2 |output - target|^2` of each row, summed.
    fn loss(&self, output: &Var<B>) -> Var<B> {
        let rows = output.shape()[0];
        let target = Array::host(&[rows, COLOURS], self.target.repeat(rows));
        let difference = sub(output, &output.tape().constant(target));
        scale(&sum(&mul(&difference, &difference), None, false), 0.5)
    }

    /// The gradient of something made from the offsets, at the query of each sample: (N, 18).
    fn gradient(&self, samples: &[Offsets], way: impl Fn(&Var<B>) -> Var<B>) -> Vec<Vec<f64>> {
        let tape = Tape::new(Cpu::new());
        let leaf = tape.leaf(self.spread(samples));
        let result = way(&leaf);
        let gradients = tape.backward(&result);
        let cells = self.scene.height * self.scene.width;
        let whole = gradients.of(&leaf).map_or(&[][..], Array::as_slice);
        let planes = whole.chunks_exact(cells).map(|plane| plane[self.query]);
        planes.collect::<Vec<f64>>().chunks_exact(2 * TAPS).map(<[f64]>::to_vec).collect()
    }
}

/// The convolution's kernel on the colours. (3, 3, 3, 3)
fn kernel() -> Array<B> {
    let whole = lesson::kernel();
    let colours = whole.slice(ndarray::s![.., ..COLOURS, .., ..]).to_owned().into_dyn();
    Array::from_f64(&Cpu::new(), &colours)
}

/// A kernel of which output `3 tap + c` is what `tap` samples of colour `c`. (27, 3, 3, 3)
fn samplers() -> Array<B> {
    let mut values = vec![0.0; TAPS * COLOURS * COLOURS * TAPS];
    for output in 0..TAPS * COLOURS {
        let (tap, c) = (output / COLOURS, output % COLOURS);
        values[(output * COLOURS + c) * TAPS + tap] = 1.0;
    }
    Array::host(&[TAPS * COLOURS, COLOURS, 3, 3], values)
}

/// `max(0, 1 - |a - b|)`: the bilinear kernel of deformable convolution along one axis.
fn bilinear(a: f64, b: f64) -> f64 {
    (1.0 - (a - b).abs()).max(0.0)
}

/// Answers `deformable`.
pub fn deformable(value: &Value) -> Result<Value, Failure> {
    let fields = Fields::of(value, "", &["scene", "query", "offsets", "target"])?;
    let place = Place::read(&fields)?;
    let offsets = place.offsets(&fields)?;
    let samples = [offsets];
    let tape = Tape::inference(Cpu::new());
    let leaf = tape.constant(place.spread(&samples));
    let output = place.deformed(&leaf, &kernel());
    let sampled = place.deformed(&leaf, &samplers());
    let of_loss = place.gradient(&samples, |offsets| place.loss(&place.deformed(offsets, &kernel())));
    let of_output: Vec<Vec<f64>> = (0..COLOURS)
        .map(|c| {
            let channel =
                |offsets: &Var<B>| sum(&narrow(&place.deformed(offsets, &kernel()), 1, c, 1), None, false);
            place.gradient(&samples, channel).concat()
        })
        .collect();
    let (height, width) = (place.scene.height as i64, place.scene.width as i64);
    let (qy, qx) = (place.query as i64 / width, place.query as i64 % width);
    let taps: Vec<Value> = (0..TAPS)
        .map(|tap| {
            let (py, px) = (tap as i64 / 3 - 1, tap as i64 % 3 - 1);
            let [dy, dx] = offsets[tap];
            let (y, x) = ((qy + py) as f64 + dy, (qx + px) as f64 + dx);
            let corner = |(i, j): (i64, i64)| {
                let (row, column) = (y.floor() as i64 + i, x.floor() as i64 + j);
                json!({
                    "row": row,
                    "col": column,
                    "weight": bilinear(y, row as f64) * bilinear(x, column as f64),
                    "inside": (0..height).contains(&row) && (0..width).contains(&column),
                })
            };
            let corners = [(0, 0), (0, 1), (1, 0), (1, 1)].map(corner);
            let along = |axis: usize| -> Vec<f64> { of_output.iter().map(|g| g[2 * tap + axis]).collect() };
            json!({
                "tap": [py, px],
                "offset": [dy, dx],
                "at": [y, x],
                "corners": corners,
                "sampled": &sampled.value().as_slice()[COLOURS * tap..COLOURS * (tap + 1)],
                "kernel_weight": lesson::taps()[tap],
                "grad": &of_loss[0][2 * tap..2 * tap + 2],
                "grad_output": [along(0), along(1)],
            })
        })
        .collect();
    Ok(json!({
        "taps": taps,
        "predicted": place.predicted(),
        "output": output.value().as_slice(),
        "target": place.target,
        "loss": place.loss(&output).value().item(),
    }))
}

/// Answers `deformable_scan`: one offset of one tap moves, the others stay.
pub fn deformable_scan(value: &Value) -> Result<Value, Failure> {
    let names = ["scene", "query", "offsets", "tap", "axis", "from", "to", "count", "target"];
    let fields = Fields::of(value, "", &names)?;
    let place = Place::read(&fields)?;
    let offsets = place.offsets(&fields)?;
    let tap = fields.whole("tap", 0..=TAPS as u64 - 1)? as usize;
    let axis = fields.whole("axis", 0..=1)? as usize;
    let count = fields.whole("count", 2..=PLACES)? as usize;
    let bound = |name: &str| {
        let wrong = || fields.wrong(name, format!("a number from -{FARTHEST} to {FARTHEST}"));
        fields.number(name).ok().filter(|number| number.abs() <= FARTHEST).ok_or_else(wrong)
    };
    let (from, to) = (bound("from")?, bound("to")?);
    let along: Vec<f64> = (0..count).map(|i| from + (to - from) * i as f64 / (count - 1) as f64).collect();
    let moved = |value: &f64| {
        let mut offsets = offsets;
        offsets[tap][axis] = *value;
        offsets
    };
    let (mut losses, mut outputs, mut gradients) = (Vec::new(), Vec::new(), Vec::new());
    // In parts, so that a scan of a large scene needs little memory.
    for part in along.chunks(32) {
        let samples: Vec<Offsets> = part.iter().map(moved).collect();
        let tape = Tape::inference(Cpu::new());
        let output = place.deformed(&tape.constant(place.spread(&samples)), &kernel());
        for row in output.value().as_slice().chunks_exact(COLOURS) {
            let row = tape.constant(Array::host(&[1, COLOURS], row.to_vec()));
            losses.push(place.loss(&row).value().item());
        }
        outputs.extend_from_slice(output.value().as_slice());
        let sweep = place.gradient(&samples, |offsets| place.loss(&place.deformed(offsets, &kernel())));
        gradients.extend(sweep.iter().map(|planes| planes[2 * tap + axis]));
    }
    Ok(json!({"offset": along, "loss": losses, "output": outputs, "grad": gradients}))
}

/// Answers `dynamic`.
pub fn dynamic(value: &Value) -> Result<Value, Failure> {
    let fields = Fields::of(value, "", &["scene", "query"])?;
    let place = Place::read(&fields)?;
    let tape = Tape::inference(Cpu::new());
    let constant = |array| tape.constant(Array::from_f64(tape.backend(), &array));
    let x = place.content(&tape);
    let options = Conv2dOptions::new().padding(1);
    let (predictor, colours) = (constant(lesson::kernel_predictor()), constant(lesson::colours()));
    let (y, kernels) = dynamic_conv_2d(&x, &predictor, 3, Some(&colours), options); // kernels (1, G, 9, H, W)
    let still = conv2d(&x, &constant(lesson::kernel()), None, options);
    let cells = place.scene.height * place.scene.width;
    let at = |var: &Var<B>| -> Vec<f64> {
        var.value().as_slice().chunks_exact(cells).map(|plane| plane[place.query]).collect()
    };
    let kernels_here = at(&kernels);
    Ok(json!({
        "size": 3,
        "groups": kernels.shape()[1],
        "kernel": &kernels_here[..TAPS],
        "kernels": kernels_here,
        "static": lesson::taps(),
        "output": at(&y),
        "static_output": at(&still),
    }))
}
