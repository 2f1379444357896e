//! Colours and textures: a mix of two colours by gradient, noise and stripes.

use std::f32::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

pub(super) type Rgb = [f32; 3];

/// Uniform in [low, high).
pub(super) fn uniform(rng: &mut ChaCha8Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

/// A colour of any hue; saturation and value (of HSV) from the given ranges.
pub(super) fn colour(rng: &mut ChaCha8Rng, saturation: [f32; 2], value: [f32; 2]) -> Rgb {
    let hue = uniform(rng, 0.0, 6.0);
    let (saturation, value) = (uniform(rng, saturation[0], saturation[1]), uniform(rng, value[0], value[1]));
    // Each primary falls off with the distance of the hue to its own place on the circle.
    [0.0, 2.0, 4.0].map(|place: f32| {
        let distance = (hue - place).abs().min(6.0 - (hue - place).abs());
        value * (1.0 - saturation * (distance - 1.0).clamp(0.0, 1.0))
    })
}

pub(super) fn mix(a: Rgb, b: Rgb, part: f32) -> Rgb {
    std::array::from_fn(|channel| a[channel] + (b[channel] - a[channel]) * part)
}

/// The Euclidean distance of two colours.
pub(super) fn contrast(a: Rgb, b: Rgb) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
}

/// A surface in the plane, in units in which what it covers is about 2 wide.
#[derive(Clone, Debug)]
pub(super) struct Texture {
    colours: [Rgb; 2],
    gradient: [f32; 2],
    noise: Noise,
    noise_weight: f32,
    /// Direction times frequency.
    stripes: [f32; 2],
    stripe_phase: f32,
    stripe_weight: f32,
}

impl Texture {
    /// A surface between two colours; half of the surfaces have stripes, all have a gradient and noise.
    pub(super) fn draw(colours: [Rgb; 2], frequencies: [f32; 2], rng: &mut ChaCha8Rng) -> Self {
        let direction = |length: f32, rng: &mut ChaCha8Rng| {
            let angle = uniform(rng, 0.0, TAU);
            [length * angle.cos(), length * angle.sin()]
        };
        let steepness = uniform(rng, 0.1, 0.45);
        let gradient = direction(steepness, rng);
        let noise_frequency = uniform(rng, frequencies[0], frequencies[1]);
        let noise = Noise { seed: rng.random(), frequency: noise_frequency };
        let noise_weight = uniform(rng, 0.6, 1.8);
        let striped = rng.random::<f32>() < 0.5;
        let stripe_frequency = TAU * uniform(rng, frequencies[0], frequencies[1]) / 2.0;
        let stripes = direction(stripe_frequency, rng);
        let stripe_phase = uniform(rng, 0.0, TAU);
        let stripe_weight = uniform(rng, 0.35, 0.7) * f32::from(u8::from(striped));
        Self { colours, gradient, noise, noise_weight, stripes, stripe_phase, stripe_weight }
    }

    pub(super) fn at(&self, [x, y]: [f32; 2]) -> Rgb {
        let noise = self.noise.at(x, y) - 0.5;
        // The noise bends the stripes a little.
        let phase = self.stripes[0] * x + self.stripes[1] * y + self.stripe_phase + 2.0 * noise;
        let part = 0.5
            + self.gradient[0] * x
            + self.gradient[1] * y
            + self.noise_weight * noise
            + self.stripe_weight * (2.0 * phase.sin()).clamp(-1.0, 1.0) * 0.6;
        mix(self.colours[0], self.colours[1], part.clamp(0.0, 1.0))
    }
}

/// Smooth noise in [0, 1]: three octaves of random values on turned lattices, interpolated between.
#[derive(Clone, Copy, Debug)]
struct Noise {
    seed: u32,
    frequency: f32,
}

impl Noise {
    fn at(&self, x: f32, y: f32) -> f32 {
        let (mut x, mut y) = (self.frequency * x, self.frequency * y);
        let (mut sum, mut weight) = (0.0, 4.0 / 7.0);
        for octave in 0..3 {
            sum += weight * lattice_noise(self.seed.wrapping_add(octave), x, y);
            // Twice as fine and turned by atan(3/4), so that the lattices do not line up.
            (x, y) = (1.6 * x - 1.2 * y, 1.2 * x + 1.6 * y);
            weight *= 0.5;
        }
        sum
    }
}

fn lattice_noise(seed: u32, x: f32, y: f32) -> f32 {
    let (column, row) = (x.floor(), y.floor());
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (across, down) = (smooth(x - column), smooth(y - row));
    let value = |dx: i32, dy: i32| lattice_value(seed, column as i32 + dx, row as i32 + dy);
    let upper = value(0, 0) + (value(1, 0) - value(0, 0)) * across;
    let lower = value(0, 1) + (value(1, 1) - value(0, 1)) * across;
    upper + (lower - upper) * down
}

/// A value in [0, 1) for each lattice point: its coordinates, mixed by multiplications and shifts.
fn lattice_value(seed: u32, column: i32, row: i32) -> f32 {
    let mut bits = seed ^ (column as u32).wrapping_mul(0x9e37_79b1) ^ (row as u32).wrapping_mul(0x85eb_ca77);
    for _ in 0..2 {
        bits = (bits ^ (bits >> 15)).wrapping_mul(0x2c1b_3c6d);
        bits ^= bits >> 13;
    }
    (bits >> 8) as f32 / (1 << 24) as f32
}
