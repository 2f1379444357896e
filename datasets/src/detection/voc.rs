//! PASCAL VOC: a list of names, one XML file for each.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use roxmltree::{Document, Node};

use super::check::{Raw, RawBox, RawObject, RawRecord, StatedSize};
use super::find::Place;
use crate::error::{DataError, quote};
use crate::files::{read_text, stays_inside};
use crate::picture::EXTENSIONS;

const CLASS_FILES: [&str; 1] = ["classes.txt"];

pub(super) fn read(root: &Path, place: &Place) -> Result<Raw, DataError> {
    let names = names(&place.annotation)?;
    let files: Vec<_> = names.par_iter().map(|(line, name)| annotation(root, place, *line, name)).collect();
    let files: Vec<AnnotationFile> = files.into_iter().collect::<Result<_, _>>()?;
    let classes = match super::classes::read_names(root, &CLASS_FILES)? {
        Some(classes) => classes,
        None => {
            let used = files.iter().flat_map(|file| file.objects.iter().map(|(name, _)| name.clone()));
            used.collect::<BTreeSet<String>>().into_iter().collect()
        }
    };
    if classes.is_empty() {
        return Err(DataError::Content {
            path: place.annotation.clone(),
            field: "class list",
            expected: "an object in at least one annotation, or a file classes.txt".to_owned(),
            found: "none".to_owned(),
        });
    }
    let ids: HashMap<&str, usize> =
        classes.iter().enumerate().map(|(class, name)| (name.as_str(), class)).collect();
    let records = files
        .into_iter()
        .enumerate()
        .map(|(index, file)| RawRecord {
            image_id: index as u64,
            name: file.image,
            file: file.path,
            size: file.size,
            objects: file
                .objects
                .into_iter()
                .map(|(name, object)| RawObject {
                    class: ids.get(name.as_str()).copied().ok_or_else(|| quote(&name)),
                    ..object
                })
                .collect(),
        })
        .collect();
    Ok(Raw { source: place.annotation.clone(), named: true, classes, records })
}

/// The names of a list with their lines.
fn names(list: &Path) -> Result<Vec<(usize, String)>, DataError> {
    let text = read_text(list, "list of the split")?;
    let mut names: Vec<(usize, String)> = Vec::new();
    let mut lines: HashMap<&str, usize> = HashMap::new();
    for (index, name) in text.lines().map(str::trim).enumerate().filter(|(_, name)| !name.is_empty()) {
        let line = index + 1;
        let error = |expected: &str, found| DataError::Line {
            path: list.to_owned(),
            line,
            field: "picture name",
            expected: expected.to_owned(),
            found,
        };
        if !stays_inside(name) {
            return Err(error("a name without extension, inside the data folder", quote(name)));
        }
        if let Some(earlier) = lines.insert(name, line) {
            return Err(error("each name once", format!("{} again, as in line {earlier}", quote(name))));
        }
        names.push((line, name.to_owned()));
    }
    if names.is_empty() {
        return Err(DataError::Content {
            path: list.to_owned(),
            field: "list of the split",
            expected: "at least one picture name".to_owned(),
            found: "none".to_owned(),
        });
    }
    Ok(names)
}

struct AnnotationFile {
    path: PathBuf,
    image: String,
    size: StatedSize,
    /// Objects with the names of their classes; their class is set later.
    objects: Vec<(String, RawObject)>,
}

fn annotation(root: &Path, place: &Place, line: usize, name: &str) -> Result<AnnotationFile, DataError> {
    let candidates = EXTENSIONS.map(|extension| format!("{}/{name}.{extension}", place.images));
    let image =
        candidates.into_iter().find(|path| root.join(path).is_file()).ok_or_else(|| DataError::Line {
            path: place.annotation.clone(),
            line,
            field: "picture name",
            expected: format!("a picture in {}/, one of .{}", place.images, EXTENSIONS.join(" .")),
            found: format!("none for {}", quote(name)),
        })?;
    let path = root.join("Annotations").join(format!("{name}.xml"));
    let text = read_text(&path, "annotation")?;
    let (size, objects) = parse(&path, &text)?;
    Ok(AnnotationFile { path, image, size, objects })
}

/// The size and the objects of an annotation file.
fn parse(path: &Path, text: &str) -> Result<(StatedSize, Vec<(String, RawObject)>), DataError> {
    let document = Document::parse(text).map_err(|error| DataError::Content {
        path: path.to_owned(),
        field: "annotation",
        expected: "well-formed XML without a DTD".to_owned(),
        found: error.to_string(),
    })?;
    let line_ends =
        text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(place, _)| place).collect();
    let xml = Xml { path, line_ends };
    let root = document.root_element();
    if root.tag_name().name() != "annotation" {
        return Err(xml.error(root, "root element", "<annotation>", format!("<{}>", root.tag_name().name())));
    }
    let size = match xml.child(root, "size")? {
        None => StatedSize::Absent,
        Some(size) => {
            let side = |name| -> Result<usize, DataError> {
                let Some(node) = xml.child(size, name)? else { return Ok(0) };
                let value = xml.number(node, "size")?;
                if value < 0.0 || value.fract() != 0.0 || value > 1e9 {
                    return Err(xml.error(node, "size", "a whole number of pixels", value.to_string()));
                }
                Ok(value as usize)
            };
            match (side("height")?, side("width")?) {
                (0, _) | (_, 0) => StatedSize::Absent,
                (height, width) => StatedSize::Pixels(height, width),
            }
        }
    };
    let objects = root.children().filter(|node| node.has_tag_name("object"));
    let objects = objects.map(|node| object(&xml, node)).collect::<Result<_, _>>()?;
    Ok((size, objects))
}

fn object(xml: &Xml, node: Node) -> Result<(String, RawObject), DataError> {
    let name = xml.text(xml.required(node, "name")?).to_owned();
    if name.is_empty() {
        return Err(xml.error(node, "name", "the name of a class", "none".to_owned()));
    }
    let bounds = xml.required(node, "bndbox")?;
    let side = |name| xml.required(bounds, name).and_then(|node| xml.number(node, "bndbox"));
    let corners = [side("xmin")?, side("ymin")?, side("xmax")?, side("ymax")?];
    let difficult = match xml.child(node, "difficult")? {
        None => false,
        Some(flag) => match xml.text(flag) {
            "" | "0" => false,
            "1" => true,
            other => return Err(xml.error(flag, "difficult", "0 or 1", quote(other))),
        },
    };
    let object = RawObject {
        class: Err(String::new()),
        bounds: RawBox::Corners(corners),
        area: None,
        crowd: false,
        difficult,
        place: xml.line(bounds),
    };
    Ok((name, object))
}

/// A document with the file that it came from, for errors.
struct Xml<'a> {
    path: &'a Path,
    /// The byte offsets of all line feeds: the parser's own search for a line starts at the top each time.
    line_ends: Vec<usize>,
}

impl Xml<'_> {
    fn line(&self, node: Node) -> usize {
        let start = node.range().start;
        1 + self.line_ends.partition_point(|end| *end < start)
    }

    fn error(&self, node: Node, field: &'static str, expected: &str, found: String) -> DataError {
        DataError::Line {
            path: self.path.to_owned(),
            line: self.line(node),
            field,
            expected: expected.to_owned(),
            found,
        }
    }

    /// The child of this name, of which there is at most one.
    fn child<'n, 'i>(&self, node: Node<'n, 'i>, name: &str) -> Result<Option<Node<'n, 'i>>, DataError> {
        let mut children = node.children().filter(|child| child.has_tag_name(name));
        let first = children.next();
        match children.next() {
            None => Ok(first),
            Some(second) => {
                let found = format!("a second <{name}>");
                Err(self.error(second, "annotation", "each element once", found))
            }
        }
    }

    fn required<'n, 'i>(&self, node: Node<'n, 'i>, name: &str) -> Result<Node<'n, 'i>, DataError> {
        let found = || format!("none in <{}>", node.tag_name().name());
        self.child(node, name)?
            .ok_or_else(|| self.error(node, "annotation", &format!("an element <{name}>"), found()))
    }

    fn text<'n>(&self, node: Node<'n, '_>) -> &'n str {
        node.text().unwrap_or("").trim()
    }

    fn number(&self, node: Node, field: &'static str) -> Result<f64, DataError> {
        let text = self.text(node);
        text.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| {
            let expected = format!("a finite number in <{}>", node.tag_name().name());
            self.error(node, field, &expected, quote(text))
        })
    }
}
