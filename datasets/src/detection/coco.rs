//! COCO instances: one JSON file for all pictures of a split.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::check::{Raw, RawBox, RawObject, RawRecord, StatedSize};
use super::find::{Place, below};
use crate::error::{DataError, quote};
use crate::files::{read_bytes, stays_inside};

/// What is read of the file; everything else (segmentations, licences) is passed over. Leaves are any JSON value, so
/// that a wrong one is reported by its name.
#[derive(Deserialize)]
struct File {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Image {
    id: Value,
    file_name: Value,
    width: Option<Value>,
    height: Option<Value>,
}

#[derive(Deserialize)]
struct Annotation {
    id: Option<Value>,
    image_id: Value,
    category_id: Value,
    bbox: Value,
    area: Option<Value>,
    iscrowd: Option<Value>,
}

#[derive(Deserialize)]
struct Category {
    id: Value,
    name: Value,
}

pub(super) fn read(root: &Path, split: &str, place: &Place) -> Result<Raw, DataError> {
    let path = &place.annotation;
    let bytes = read_bytes(path, "annotation")?;
    let file: File =
        serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)).map_err(|error| {
            DataError::Content {
                path: path.clone(),
                field: "annotation",
                expected: "JSON with the lists images, annotations and categories".to_owned(),
                found: error.to_string(),
            }
        })?;
    drop(bytes);
    let json = Json { path };
    let (classes, class_of) = json.categories(&file.categories)?;
    let (mut records, index_of) = json.images(&file.images)?;
    let folder = image_folder(root, split, path, &records[0].name)?;
    for record in &mut records {
        record.name.insert_str(0, &folder);
    }
    let mut ids = HashSet::new();
    for (index, annotation) in file.annotations.into_iter().enumerate() {
        let field = |name: &str| format!("annotations[{index}].{name}");
        if let Some(id) = &annotation.id {
            let id = json.whole(id, || field("id"))?;
            if !ids.insert(id) {
                return Err(json.error(field("id"), "each id once", format!("{id} again")));
            }
        }
        let image = json.whole(&annotation.image_id, || field("image_id"))?;
        let Some(&image) = index_of.get(&image) else {
            let found = format!("{image}, which no image has");
            return Err(json.error(field("image_id"), "the id of an image", found));
        };
        let object = json.object(index, &annotation, &class_of)?;
        records[image].objects.push(object);
    }
    Ok(Raw { source: path.clone(), named: true, classes, records })
}

/// Errors and numbers of a file.
struct Json<'a> {
    path: &'a Path,
}

impl Json<'_> {
    fn error(&self, field: String, expected: &str, found: String) -> DataError {
        DataError::Field { path: self.path.to_owned(), field, expected: expected.to_owned(), found }
    }

    /// A whole number from 0; `12.0` counts as one.
    fn whole(&self, value: &Value, field: impl Fn() -> String) -> Result<u64, DataError> {
        const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
        let of_float =
            |value: f64| (value.fract() == 0.0 && (0.0..=EXACT).contains(&value)).then_some(value as u64);
        value
            .as_u64()
            .or_else(|| value.as_f64().and_then(of_float))
            .ok_or_else(|| self.error(field(), "a whole number from 0", quote(&value.to_string())))
    }

    fn finite(&self, value: &Value, field: impl Fn() -> String) -> Result<f64, DataError> {
        let number = value.as_f64().filter(|value| value.is_finite());
        number.ok_or_else(|| self.error(field(), "a finite number", quote(&value.to_string())))
    }

    fn text<'v>(&self, value: &'v Value, field: impl Fn() -> String) -> Result<&'v str, DataError> {
        let text = value.as_str().filter(|text| !text.is_empty());
        text.ok_or_else(|| self.error(field(), "a text", quote(&value.to_string())))
    }

    /// The names in the order of the ids, and the class of each id.
    fn categories(&self, categories: &[Category]) -> Result<(Vec<String>, HashMap<u64, usize>), DataError> {
        let mut by_id = BTreeMap::new();
        let mut names = HashSet::new();
        for (index, category) in categories.iter().enumerate() {
            let field = |name: &str| format!("categories[{index}].{name}");
            let id = self.whole(&category.id, || field("id"))?;
            let name = self.text(&category.name, || field("name"))?;
            if by_id.insert(id, name).is_some() {
                return Err(self.error(field("id"), "each id once", format!("{id} again")));
            }
            if !names.insert(name) {
                return Err(self.error(field("name"), "each name once", format!("{} again", quote(name))));
            }
        }
        if by_id.is_empty() {
            return Err(self.error("categories".to_owned(), "at least one category", "none".to_owned()));
        }
        let classes = by_id.values().map(|name| (*name).to_owned()).collect();
        Ok((classes, by_id.keys().enumerate().map(|(class, id)| (*id, class)).collect()))
    }

    /// The records, still without objects and named by `file_name` alone, and the place of each image id.
    fn images(&self, images: &[Image]) -> Result<(Vec<RawRecord>, HashMap<u64, usize>), DataError> {
        let mut records = Vec::with_capacity(images.len());
        let mut index_of = HashMap::with_capacity(images.len());
        for (index, image) in images.iter().enumerate() {
            let field = |name: &str| format!("images[{index}].{name}");
            let id = self.whole(&image.id, || field("id"))?;
            if index_of.insert(id, index).is_some() {
                return Err(self.error(field("id"), "each id once", format!("{id} again")));
            }
            let name = self.text(&image.file_name, || field("file_name"))?;
            if !stays_inside(name) {
                let expected = "a path inside the folder of the pictures";
                return Err(self.error(field("file_name"), expected, quote(name)));
            }
            let side = |value: &Option<Value>, name: &str| match value {
                None | Some(Value::Null) => Ok(0),
                Some(value) => self.whole(value, || field(name)),
            };
            let size = match (side(&image.height, "height")?, side(&image.width, "width")?) {
                (0, _) | (_, 0) => StatedSize::Absent,
                (height, width) => StatedSize::Pixels(height as usize, width as usize),
            };
            records.push(RawRecord {
                image_id: id,
                name: name.to_owned(),
                file: self.path.to_owned(),
                size,
                objects: Vec::new(),
            });
        }
        if records.is_empty() {
            return Err(self.error("images".to_owned(), "at least one image", "none".to_owned()));
        }
        Ok((records, index_of))
    }

    fn object(
        &self,
        index: usize,
        annotation: &Annotation,
        class_of: &HashMap<u64, usize>,
    ) -> Result<RawObject, DataError> {
        let field = |name: &str| format!("annotations[{index}].{name}");
        let category = self.whole(&annotation.category_id, || field("category_id"))?;
        let sides = annotation.bbox.as_array().filter(|sides| sides.len() == 4).ok_or_else(|| {
            let found = quote(&annotation.bbox.to_string());
            self.error(field("bbox"), "four numbers [x, y, width, height]", found)
        })?;
        let side = |side: usize| self.finite(&sides[side], || field(&format!("bbox[{side}]")));
        let [x, y, width, height] = [side(0)?, side(1)?, side(2)?, side(3)?];
        let area = match &annotation.area {
            None | Some(Value::Null) => None,
            Some(value) => Some(self.finite(value, || field("area"))?),
        };
        if let Some(area) = area.filter(|area| *area < 0.0) {
            return Err(self.error(field("area"), "a number from 0", area.to_string()));
        }
        let crowd = match &annotation.iscrowd {
            None | Some(Value::Null) => 0,
            Some(value) => self.whole(value, || field("iscrowd"))?,
        };
        if crowd > 1 {
            return Err(self.error(field("iscrowd"), "0 or 1", crowd.to_string()));
        }
        Ok(RawObject {
            class: class_of.get(&category).copied().ok_or_else(|| category.to_string()),
            bounds: RawBox::Corners([x, y, x + width, y + height]),
            area: area.map(|area| area as f32),
            crowd: crowd == 1,
            difficult: false,
            place: index,
        })
    }
}

/// The folder of the pictures below the data folder, as the beginning of a path: the first that holds the first
/// picture.
fn image_folder(root: &Path, split: &str, json: &Path, first: &str) -> Result<String, DataError> {
    let stem = json.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let full = stem.strip_prefix("instances_").unwrap_or(split); // train2017 for train
    let mut folders = vec![format!("images/{full}/"), format!("images/{split}/")];
    folders.extend([format!("{full}/"), format!("{split}/")]);
    folders.extend(["images/", "JPEGImages/", ""].map(str::to_owned));
    folders.dedup();
    if let Some(folder) = folders.iter().find(|folder| root.join(folder).join(first).is_file()) {
        return Ok(folder.clone());
    }
    let looked: Vec<&str> =
        folders.iter().map(|folder| if folder.is_empty() { "the folder itself" } else { folder }).collect();
    Err(DataError::Content {
        path: root.to_owned(),
        field: "pictures of the split",
        expected: format!("the first picture of {} in {}", below(root, json), looked.join(", ")),
        found: format!("{} in none of them", quote(first)),
    })
}
