//! The image of a scene, painted from back to front.

use ndarray::{Array3, s};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::SceneOptions;
use super::place::{Figure, Scene, centre_of};
use super::texture::{Rgb, Texture, colour, contrast, mix, uniform};

/// Colours that are tried for each figure, to find one that differs from what is behind it.
const COLOUR_ATTEMPTS: usize = 12;

/// The distance of two colours that is enough.
const MIN_CONTRAST: f32 = 0.4;

/// The largest deviation of a value by sensor noise.
const SENSOR_NOISE: f32 = 0.02;

pub(super) fn render(options: &SceneOptions, scene: &Scene, rng: &mut ChaCha8Rng) -> Array3<f32> {
    let mut image = ground(options, rng);
    let light = uniform(rng, 0.0, std::f32::consts::TAU);
    let light = [light.cos(), light.sin()];
    for figure in &scene.figures {
        let behind = mean_colour(&image, figure, options);
        let texture = surface(behind, rng);
        cast_shadow(&mut image, figure, light, options);
        paint(&mut image, figure, &texture, light, options);
    }
    image.mapv_inplace(|value| (value + SENSOR_NOISE * (2.0 * rng.random::<f32>() - 1.0)).clamp(0.0, 1.0));
    image
}

fn ground(options: &SceneOptions, rng: &mut ChaCha8Rng) -> Array3<f32> {
    let first = colour(rng, [0.05, 0.6], [0.2, 0.9]);
    let second = mix(first, colour(rng, [0.05, 0.7], [0.15, 0.95]), uniform(rng, 0.5, 1.0));
    let texture = Texture::draw([first, second], [1.2, 5.0], rng);
    let half = options.height.min(options.width) as f32 / 2.0;
    let mut image = Array3::zeros((3, options.height, options.width));
    for row in 0..options.height {
        for column in 0..options.width {
            let [x, y] = centre_of((row, column));
            let colour = texture.at([x / half - 1.0, y / half - 1.0]);
            set(&mut image, (row, column), colour);
        }
    }
    image
}

/// A texture whose colours differ from what is behind it; they do not depend on the class.
fn surface(behind: Rgb, rng: &mut ChaCha8Rng) -> Texture {
    let mut best: Option<(f32, Rgb)> = None;
    for _ in 0..COLOUR_ATTEMPTS {
        let candidate = colour(rng, [0.1, 0.95], [0.25, 1.0]);
        let difference = contrast(candidate, behind);
        if best.is_none_or(|(least, _)| difference > least) {
            best = Some((difference, candidate));
        }
        if difference > MIN_CONTRAST {
            break;
        }
    }
    let (_, first) = best.expect("at least one colour is tried");
    let second = mix(first, colour(rng, [0.1, 0.9], [0.2, 1.0]), uniform(rng, 0.2, 0.6));
    Texture::draw([first, second], [0.5, 2.0], rng)
}

/// The mean within one radius of the centre: the same pixels for every shape, so that the colours drawn against this
/// mean do not depend on the class.
fn mean_colour(image: &Array3<f32>, figure: &Figure, options: &SceneOptions) -> Rgb {
    let mut sum = [0.0; 3];
    let mut count = 0.0;
    for pixel in figure.pixels_around(options, 0.0) {
        let [x, y] = figure.offset(centre_of(pixel));
        if x.hypot(y) < 1.0 {
            let colour = get(image, pixel);
            sum = std::array::from_fn(|channel| sum[channel] + colour[channel]);
            count += 1.0;
        }
    }
    sum.map(|value| value / f32::max(count, 1.0))
}

/// Darkens what is behind a figure, away from the light: a hint at which of two figures is in front.
fn cast_shadow(image: &mut Array3<f32>, figure: &Figure, light: [f32; 2], options: &SceneOptions) {
    let (length, softness) = (0.16 * figure.radius, 0.3 * figure.radius);
    for pixel in figure.pixels_around(options, length + softness) {
        let [x, y] = centre_of(pixel);
        let distance = figure.distance([x + length * light[0], y + length * light[1]]);
        let depth = (0.5 - distance / softness).clamp(0.0, 1.0);
        let colour = get(image, pixel);
        set(image, pixel, colour.map(|value| value * (1.0 - 0.45 * depth)));
    }
}

fn paint(
    image: &mut Array3<f32>,
    figure: &Figure,
    texture: &Texture,
    light: [f32; 2],
    options: &SceneOptions,
) {
    for pixel in figure.pixels_around(options, 1.0) {
        let point = centre_of(pixel);
        let distance = figure.distance(point);
        // The part of the pixel that the figure covers, for a straight edge across it.
        let cover = if options.antialias {
            (0.5 - distance).clamp(0.0, 1.0)
        } else {
            f32::from(u8::from(distance < 0.0))
        };
        if cover == 0.0 {
            continue;
        }
        let [x, y] = figure.offset(point);
        let shade = 1.0 + 0.16 * (x * light[0] + y * light[1]); // brighter towards the light
        let rim = 1.0 - 0.3 * (1.0 + distance / 1.5).clamp(0.0, 1.0); // a darker edge
        let surface = texture.at(figure.local(point)).map(|value| (value * shade * rim).clamp(0.0, 1.0));
        let colour = get(image, pixel);
        set(image, pixel, mix(colour, surface, cover));
    }
}

fn get(image: &Array3<f32>, (row, column): (usize, usize)) -> Rgb {
    std::array::from_fn(|channel| image[[channel, row, column]])
}

fn set(image: &mut Array3<f32>, (row, column): (usize, usize), colour: Rgb) {
    for (value, colour) in image.slice_mut(s![.., row, column]).iter_mut().zip(colour) {
        *value = colour;
    }
}
