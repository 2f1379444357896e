//! Trains a detector on a folder of pictures with boxes and prints its score as it goes.
//!
//! `train_detection DIR [key=value ..]`, for instance `attention=0010 minutes=5 lr=0.002 every=60`.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use termwise_autograd::{Array, Cpu, Module, Tape};
use termwise_datasets::detection::{DetectionFolder, Strictness};
use termwise_datasets::png_out::{enlarged, side_by_side, write_picture};
use termwise_models::checkpoint;
use termwise_models::detection::{Detection, DetectionSettings, DetectionTask, Picture, detect, draw_boxes};
use termwise_ops::optim::{Adam, AdamConfig, Optimizer, clip_grad_norm};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("expected a folder")?;
    let options: HashMap<String, String> = arguments
        .map(|a| a.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).ok_or("expected key=value"))
        .collect::<Result<_, _>>()?;
    let number = |key: &str, default: f64| options.get(key).map_or(Ok(default), |v| v.parse::<f64>());
    let text = |key: &str, default: &str| options.get(key).map_or(default.to_owned(), Clone::clone);

    let mut settings = DetectionSettings::new(text("attention", "w/o").parse()?);
    settings.batch = number("batch", settings.batch as f64)? as usize;
    settings.side = number("side", settings.side as f64)? as usize;
    settings.width = number("width", settings.width as f64)? as usize;
    settings.channels = number("channels", settings.channels as f64)? as usize;
    settings.hidden = number("hidden", settings.hidden as f64)? as usize;
    settings.class_specific = number("class_specific", 0.0)? > 0.0;
    settings.seed = number("seed", 0.0)? as u64;
    settings.targets.boxes = number("boxes", settings.targets.boxes as f64)? as usize;
    settings.targets.box_share = number("box_share", settings.targets.box_share)?;
    if let Some(augment) = &mut settings.augment {
        augment.scale = number("scale", augment.scale)?;
    }
    let (lr, warmup, seconds) =
        (number("lr", 2e-3)?, number("warmup", 0.05)?, 60.0 * number("minutes", 9.5)?);
    let (decay, every) = (number("average", 0.998)?, number("every", 60.0)?);
    let beta2 = number("beta2", 0.999)?;
    let weight_decay = number("weight_decay", 1e-3)?;

    let root = Path::new(&folder);
    let train = DetectionFolder::open(root, &text("train", "train"), Strictness::Lenient)?;
    let validation = DetectionFolder::open(root, &text("val", "val"), Strictness::Lenient)?
        .with_classes(train.classes())?;
    let start = Instant::now();
    let pictures = Picture::load_all(&train, settings.side)?;
    let shown = Picture::load_all(&validation, settings.side)?;
    let task = DetectionTask::new(settings.clone(), train.classes().to_vec(), pictures, shown.clone());
    println!("loaded in {:.1} s", start.elapsed().as_secs_f64());

    let parameters = task.model().parameters();
    println!("{} parameters", parameters.iter().map(|(_, p)| p.len()).sum::<usize>());
    let mut optimizer = Adam::new(AdamConfig { weight_decay, beta2, ..AdamConfig::adamw() });
    let start = Instant::now();
    let (mut steps, mut evaluated, mut evaluating) = (0u64, 0.0, 0.0);
    let mut average: Vec<Array<Cpu<f32>>> = parameters.iter().map(|(_, p)| p.value()).collect();
    let mut sums: HashMap<&str, f64> = HashMap::new();
    let mut counted = 0;
    for epoch in 0.. {
        for step in 0..task.steps() {
            let elapsed = start.elapsed().as_secs_f64() - evaluating;
            let progress = (elapsed / seconds).min(1.0);
            let done = progress >= 1.0;
            if done || elapsed - evaluated >= every {
                let clock = Instant::now();
                let weights: Vec<_> = parameters.iter().map(|(_, p)| p.value()).collect();
                parameters.iter().zip(&average).for_each(|((_, p), a)| p.set(a.clone()));
                let score = task.evaluate();
                let mut losses: Vec<_> =
                    sums.iter().map(|(k, v)| format!("{k} {:.3}", v / f64::from(counted))).collect();
                losses.sort();
                println!(
                    "{:.2} min, epoch {epoch}, {steps} steps: AP50 {:.3} AP {:.3} AP75 {:.3}; {}; {} (eval {:.1} s)",
                    elapsed / 60.0,
                    score.stats.ap50,
                    score.stats.ap,
                    score.stats.ap75,
                    score
                        .classes
                        .iter()
                        .map(|c| format!("{} {:.3}/{:.3}", c.name, c.ap50, c.ap))
                        .collect::<Vec<_>>()
                        .join(", "),
                    losses.join(", "),
                    clock.elapsed().as_secs_f64()
                );
                sums.clear();
                counted = 0;
                if done {
                    if let Some(path) = options.get("save") {
                        checkpoint::save(Path::new(path), task.model().config(), task.model())?;
                    }
                    if let Some(folder) = options.get("draw") {
                        for (picture, found) in shown.iter().zip(detect(task.model(), &shown)).take(12) {
                            let mut drawn = [picture.pixels.clone(), picture.pixels.clone()];
                            let scaled = |d: &Detection| {
                                let (sy, sx) = picture.scale();
                                let [x1, y1, x2, y2] = d.bounds;
                                Detection { bounds: [x1 * sx, y1 * sy, x2 * sx, y2 * sy], ..*d }
                            };
                            let truth = picture.objects.iter().map(|o| Detection {
                                class: o.class,
                                score: 1.0,
                                bounds: picture.scaled(o),
                            });
                            draw_boxes(&mut drawn[0], &truth.collect::<Vec<_>>(), 0.5);
                            draw_boxes(&mut drawn[1], &found.iter().map(scaled).collect::<Vec<_>>(), 0.5);
                            let file = format!("{}.png", picture.name.replace('/', "_"));
                            write_picture(
                                &Path::new(folder).join(file),
                                &enlarged(&side_by_side(&drawn), 2),
                            )?;
                        }
                    }
                    return Ok(());
                }
                parameters.iter().zip(weights).for_each(|((_, p), w)| p.set(w));
                evaluated = elapsed;
                evaluating += clock.elapsed().as_secs_f64();
            }
            let rate = match progress < warmup {
                true => (progress / warmup).max(0.05),
                false => 0.5 * (1.0 + (std::f64::consts::PI * (progress - warmup) / (1.0 - warmup)).cos()),
            };
            let tape = Tape::new(Cpu::new());
            let (loss, parts) = task.loss(&tape, epoch, step);
            parts.iter().for_each(|(name, value)| *sums.entry(name).or_default() += value);
            counted += 1;
            let gradients = tape.backward(&loss);
            drop(tape);
            optimizer.step(&parameters, &clip_grad_norm(&parameters, &gradients, 5.0), lr * rate);
            steps += 1;
            let keep = decay.min((1 + steps) as f64 / (10 + steps) as f64) as f32;
            for (average, (_, parameter)) in average.iter_mut().zip(&parameters) {
                let value = parameter.value();
                let pairs = average.as_mut_slice().iter_mut().zip(value.as_slice());
                pairs.for_each(|(a, &p)| *a = keep * *a + (1.0 - keep) * p);
            }
        }
    }
    Ok(())
}
