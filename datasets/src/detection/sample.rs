//! What is known of a picture with boxes.

use std::path::{Path, PathBuf};

use ndarray::{Array2, Array3};

use crate::error::DataError;
use crate::picture::read_picture;
use crate::sample::BoundingBox;

/// A decoded picture and the objects in it.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionSample {
    /// The id under which results are reported: the `id` of COCO, else the position in the split from 0.
    pub image_id: u64,
    /// The path of the picture inside its folder, or split and index of a generated scene.
    pub name: String,
    /// Red, green, blue in [0, 1].
    pub image: Array3<f32>, // (3, H, W)
    /// The objects, in the order of the file; of a generated scene from back to front.
    pub objects: Vec<DetectionObject>,
}

impl DetectionSample {
    /// A picture alone, JPEG or PNG, without known objects.
    ///
    /// # Errors
    /// If it cannot be read or decoded.
    pub fn of_file(path: &Path) -> Result<Self, DataError> {
        let image = read_picture(path)?;
        Ok(DetectionSample { image_id: 0, name: path.display().to_string(), image, objects: Vec::new() })
    }

    /// (height, width) in pixels.
    pub fn size(&self) -> (usize, usize) {
        let (_, height, width) = self.image.dim();
        (height, width)
    }

    /// Panics where the image has not three channels or a mask another size: such a sample is a programming error.
    #[track_caller]
    pub(crate) fn check(&self) {
        assert!(
            self.image.dim().0 == 3,
            "sample {}: image must be (3, H, W), is {:?}",
            self.name,
            self.image.dim()
        );
        for mask in self.objects.iter().filter_map(|object| object.mask.as_ref()) {
            assert!(
                mask.dim() == self.size(),
                "sample {}: mask {:?} must be as large as the image {:?}",
                self.name,
                mask.dim(),
                self.size()
            );
        }
    }
}

/// One object of a [`DetectionSample`].
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionObject {
    /// Its class, an index into the class list.
    pub class: usize,
    /// Its box in pixels of the picture, half open, inside of the picture and of positive area.
    pub bounds: BoundingBox,
    /// The area in square pixels by which metrics call it small, medium or large: that of the file (COCO), of the
    /// mask where there is one, else that of the box.
    pub area: f32,
    /// Whether the box stands for a group (`iscrowd` of COCO): no target of training, and no error of a detector that
    /// finds something in it.
    pub crowd: bool,
    /// Whether it counts as hard to see (`difficult` of PASCAL VOC): metrics of VOC neither reward nor punish it.
    pub difficult: bool,
    /// Its visible pixels, where they are known.
    pub mask: Option<Array2<bool>>, // (H, W)
}

/// A picture of a split that is not decoded yet.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionRecord {
    /// As in [`DetectionSample`].
    pub image_id: u64,
    /// The path inside the data folder.
    pub name: String,
    /// The path to open.
    pub path: PathBuf,
    /// (height, width) of the picture file, read from its header.
    pub size: (usize, usize),
    /// The objects that are kept.
    pub objects: Vec<DetectionObject>,
}
