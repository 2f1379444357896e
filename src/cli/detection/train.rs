//! `termwise train detection`.

use std::path::{Path, PathBuf};

use ndarray::{Array3, Axis, concatenate};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use termwise_datasets::Split;
use termwise_datasets::detection::{DetectionFolder, DetectionFormat, DetectionOptions, Strictness};
use termwise_datasets::scenes::{SceneOptions, Scenes};
use termwise_models::checkpoint::Checkpoint;
use termwise_models::detection::{
    Detection, DetectionScore, DetectionSettings, DetectionTask, Picture, detect, draw_boxes, recipe,
};
use termwise_models::training::{Recipe, Task};
use termwise_opencl::DeviceChoice;
use termwise_ops::Kernels;
use termwise_ops::attention::AttentionCode;

use crate::cli::curves::{self, curves_file};
use crate::cli::device::on_backend;
use crate::cli::fault::Fault;
use crate::cli::output::{OutputFolder, columns, say};
use crate::cli::segmentation::png;
use crate::cli::settings::{Origin, check_recipe, insert, positive, settings, settings_from};
use crate::cli::training::{Begin, Course, Finished, Keep};

/// Arguments of `termwise train detection`.
#[derive(clap::Args)]
pub struct TrainArgs {
    /// Folder in the form of PASCAL VOC, COCO or YOLO with the splits train and val [default: built-in scenes]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    data: Option<PathBuf>,
    /// Its form, where it has files of several: voc, coco or yolo
    #[arg(long, value_name = "FORM", requires = "data", value_parser = format, conflicts_with = "resume")]
    format: Option<DetectionFormat>,
    /// Refuse boxes of no size or outside of their picture instead of leaving them out
    #[arg(long, conflicts_with = "resume")]
    strict: bool,
    /// The mechanism: w/o, 0000 to 1111, deformable, dynamic, or one with +deformable [default: w/o]
    #[arg(long, value_name = "CODE", conflicts_with = "resume")]
    attention: Option<AttentionCode>,
    /// Passes over the training pictures
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "resume")]
    epochs: Option<u32>,
    /// End after so many seconds; the schedule follows the clock where that is ahead of the epochs
    #[arg(long, value_name = "SECONDS", value_parser = positive, allow_negative_numbers = true, conflicts_with = "resume")]
    time_limit: Option<f64>,
    /// The longer side that pictures are scaled to
    #[arg(long, value_name = "PIXELS", conflicts_with = "resume")]
    side: Option<u32>,
    /// Pictures a step
    #[arg(long, value_name = "N", conflicts_with = "resume")]
    batch: Option<u32>,
    /// Peak learning rate
    #[arg(long, value_name = "RATE", value_parser = positive, allow_negative_numbers = true, conflicts_with = "resume")]
    lr: Option<f64>,
    /// Seed of initial values, order, augmentation, sampling and built-in scenes [default: 0]
    #[arg(long, value_name = "N", conflicts_with = "resume")]
    seed: Option<u64>,
    /// Built-in scenes to train on [default: 512]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000), conflicts_with_all = ["data", "resume"])]
    scenes: Option<u64>,
    /// Settings as a TOML file; flags go over it
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    config: Option<PathBuf>,
    #[command(flatten)]
    keep: Keep,
}

/// All settings of a training: what `config.json` says, and which fields a TOML file may set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Absent for built-in scenes.
    pub data: Option<PathBuf>,
    format: Option<String>,
    strict: bool,
    scenes: u64,
    /// Optimiser, schedule and length.
    #[serde(flatten)]
    pub recipe: Recipe,
    /// The detector.
    pub detection: DetectionSettings,
}

impl Settings {
    fn of(args: &TrainArgs) -> Result<Self, Fault> {
        let (mut flags, mut detection) = (Map::new(), Map::new());
        insert(&mut flags, "data", args.data.as_ref());
        insert(&mut flags, "format", args.format.map(DetectionFormat::name));
        insert(&mut flags, "strict", args.strict.then_some(true));
        insert(&mut flags, "scenes", args.scenes);
        insert(&mut flags, "epochs", args.epochs);
        insert(&mut flags, "time_limit", args.time_limit);
        insert(&mut flags, "lr", args.lr);
        insert(&mut detection, "attention", args.attention);
        insert(&mut detection, "side", args.side);
        insert(&mut detection, "batch", args.batch);
        insert(&mut detection, "seed", args.seed);
        flags.insert("detection".into(), Value::Object(detection));
        let file = args.config.as_deref();
        Self::checked(settings(&Self::standard(), file, &json!(flags))?.settings, file)
    }

    fn standard() -> Self {
        let detection = DetectionSettings::new("w/o".parse().expect("a code"));
        let recipe = recipe();
        Settings { data: None, format: None, strict: false, scenes: 512, recipe, detection }
    }

    /// Those of a table, with `own` over them.
    pub fn of_table(origin: Origin, table: Map<String, Value>, own: &Value) -> Result<Self, Fault> {
        let given = settings_from(&Self::standard(), Some((origin, table)), own)?;
        Self::checked(given.settings, Some(origin.file))
    }

    fn checked(settings: Self, file: Option<&Path>) -> Result<Self, Fault> {
        check_recipe(file, &settings.recipe)?;
        settings.detection.check().map_err(|error| match file {
            Some(path) => Fault::Input(format!("{}: field detection.{error}", path.display())),
            None => Fault::Input(error),
        })?;
        Ok(settings)
    }

    /// Classes, and pictures to train and to measure on.
    pub fn data(&self) -> Result<(Vec<String>, [Vec<Picture>; 2]), Fault> {
        let side = self.detection.side;
        let Some(folder) = &self.data else {
            let (scenes, count) = (scenes(self.detection.seed), self.scenes);
            let load = |split, count| {
                let samples = scenes.detection_samples(split, 0..count);
                samples.iter().map(|sample| Picture::new(sample, side)).collect()
            };
            let pictures = [load(Split::Train, count), load(Split::Val, count.div_ceil(4))];
            return Ok((scenes.detection_classes(), pictures));
        };
        let form = self.format.as_deref().map(format).transpose();
        let form = form.map_err(|error| Fault::Input(format!("format: {error}")))?;
        let train = split(folder, "train", form, self.strict)?;
        let validation = split(folder, "val", form, self.strict)?.with_classes(train.classes())?;
        let pictures = [Picture::load_all(&train, side)?, Picture::load_all(&validation, side)?];
        Ok((train.classes().to_vec(), pictures))
    }
}

/// Built-in scenes with boxes.
pub fn scenes(seed: u64) -> Scenes {
    Scenes::new(SceneOptions { height: 96, width: 96, ..SceneOptions::default() }, seed)
}

/// The form of a folder by its name.
pub fn format(text: &str) -> Result<DetectionFormat, String> {
    let forms = [DetectionFormat::Voc, DetectionFormat::Coco, DetectionFormat::Yolo];
    let found = forms.into_iter().find(|form| form.name().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("expected one of {}", forms.map(DetectionFormat::name).join(", ")))
}

/// A split of a folder, with what is wrong with it on standard error.
pub fn split(
    folder: &Path,
    name: &str,
    format: Option<DetectionFormat>,
    strict: bool,
) -> Result<DetectionFolder, Fault> {
    let strictness = if strict { Strictness::Strict } else { Strictness::Lenient };
    let options = DetectionOptions { format, strictness, ..DetectionOptions::default() };
    let split = DetectionFolder::open_with(folder, name, &options)?;
    if !split.report().is_clean() {
        eprint!("{}", split.report());
    }
    if split.len() == 0 {
        return Err(Fault::of_file(folder, &format!("split {name}"), "at least one picture", "none"));
    }
    Ok(split)
}

/// A score in a few words.
pub fn describe(score: &DetectionScore) -> String {
    format!("AP {:.4}, AP50 {:.4}, AP75 {:.4}", score.stats.ap, score.stats.ap50, score.stats.ap75)
}

/// The figures of each class.
pub fn table(score: &DetectionScore) -> String {
    let number = |x: f64| if x < 0.0 { "-".to_owned() } else { format!("{x:.3}") };
    let row = |class: &termwise_models::detection::ClassScore| {
        vec![class.name.clone(), number(class.ap50), number(class.ap)]
    };
    columns(&["class", "AP50", "AP"], &score.classes.iter().map(row).collect::<Vec<_>>())
}

/// Pictures as scaled, the truth beside what was found with a score of at least a half, one below the other.
pub fn sheet(pictures: &[Picture], found: &[Vec<Detection>]) -> Vec<u8> {
    let rows: Vec<Array3<u8>> = pictures
        .iter()
        .zip(found)
        .map(|(picture, found)| {
            let mut truth = picture.pixels.clone();
            let objects = picture.objects.iter();
            let boxes = objects.map(|o| Detection { class: o.class, score: 1.0, bounds: picture.scaled(o) });
            draw_boxes(&mut truth, &boxes.collect::<Vec<_>>(), 0.5);
            let mut drawn = picture.pixels.clone();
            draw_boxes(&mut drawn, &scaled(picture, found), 0.5);
            concatenate(Axis(1), &[truth.view(), drawn.view()]).expect("one height")
        })
        .collect();
    let width = rows.iter().map(|row| row.dim().1).max().unwrap_or(1);
    let height: usize = rows.iter().map(|row| row.dim().0).sum();
    let mut sheet = Array3::from_elem((height.max(1), width, 3), 255);
    let mut y = 0;
    for row in rows {
        let (h, w, _) = row.dim();
        sheet.slice_mut(ndarray::s![y..y + h, ..w, ..]).assign(&row);
        y += h;
    }
    png(&sheet)
}

/// Detections in pixels of the picture as scaled.
pub fn scaled(picture: &Picture, found: &[Detection]) -> Vec<Detection> {
    let (sy, sx) = picture.scale();
    let scaled = |d: &Detection| {
        let [x1, y1, x2, y2] = d.bounds;
        Detection { bounds: [x1 * sx, y1 * sy, x2 * sx, y2 * sy], ..*d }
    };
    found.iter().map(scaled).collect()
}

/// Runs the command.
pub fn run(args: &TrainArgs, device: DeviceChoice) -> Result<(), Fault> {
    let begin = args.keep.begin(|| Settings::of(args))?;
    let (classes, [train, validation]) = begin.settings.data()?;
    begin.note()?;
    let Begin { settings, folder, checkpoint } = &begin;
    on_backend!(device, backend => {
        let task = DetectionTask::new(backend, settings.detection.clone(), classes, train, validation);
        train_on(task, settings, folder.as_ref(), checkpoint.as_ref(), args.keep.save_every)
    })
}

fn train_on<B: Kernels<Scalar = f32>>(
    task: DetectionTask<B>,
    settings: &Settings,
    folder: Option<&OutputFolder>,
    checkpoint: Option<&Checkpoint>,
    save_every: f64,
) -> Result<(), Fault> {
    let name = settings.detection.attention.to_string();
    let course = Course { name: name.clone(), folder, save_every, describe };
    let trainer = Course::trainer(task, &settings.recipe, checkpoint)?;
    let Finished { trainer, steps } = course.run(trainer)?;
    let last = trainer.epochs().last().expect("at least one epoch");
    say(&table(&last.score))?;
    say(&format!("\n{}, after {:.0} s", describe(&last.score), trainer.seconds()))?;
    if let Some(folder) = folder {
        let course = curves::Course::new(name, &steps, trainer.epochs(), |score| score.stats.ap50);
        folder.write("curves.svg", curves_file(course, "AP50"))?;
        let task = trainer.into_task();
        let shown: Vec<Picture> = task.validation().iter().take(8).cloned().collect();
        let sheet = sheet(&shown, &detect(task.model(), &shown));
        say(&folder.write("predictions.png", sheet)?.display().to_string())?;
    }
    Ok(())
}
