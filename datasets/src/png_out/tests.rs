use super::*;
use crate::png_in::{read_image, read_labels};
use ndarray::array;

#[test]
fn pictures_and_label_maps_read_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let picture =
        Array3::from_shape_fn((3, 5, 3), |(row, column, channel)| (row * 50 + column * 9 + channel) as u8);
    write_picture(&path, &picture).unwrap();
    assert_eq!(image_to_picture(&read_image(&path).unwrap()), picture);
    // A transposed view is in another memory order; the file has the logical one.
    let turned = picture.clone().permuted_axes([1, 0, 2]);
    write_picture(&path, &turned).unwrap();
    assert_eq!(image_to_picture(&read_image(&path).unwrap()), turned);

    let labels = array![[0, 1, 255], [7, 11, 3]];
    write_labels(&path, &labels).unwrap();
    assert_eq!(read_labels(&path).unwrap(), labels);
}

#[test]
fn panels_stand_where_they_should() {
    let image = Array3::from_elem((3, 2, 2), 2.0); // clipped to white
    let row = comparison(&image, &array![[1, 1], [1, 255]], &array![[2, 2], [2, 2]], 255);
    let pixel = |picture: &Picture, row: usize, column: usize| -> [u8; 3] {
        std::array::from_fn(|channel| picture[[row, column, channel]])
    };
    assert_eq!(row.dim(), (2, 6 + 2 * GAP, 3));
    assert_eq!(pixel(&row, 0, 0), [255; 3]);
    assert_eq!(pixel(&row, 0, 2), GAP_COLOUR);
    assert_eq!(pixel(&row, 0, 2 + GAP), class_colour(1));
    assert_eq!(pixel(&row, 1, 3 + GAP), IGNORE_COLOUR);
    assert_eq!(pixel(&row, 1, 5 + 2 * GAP), class_colour(2));
    let sheet = stacked(&[row.clone(), side_by_side(&[image_to_picture(&image)])]);
    assert_eq!(sheet.dim(), (4 + GAP, 6 + 2 * GAP, 3));
    assert_eq!(sheet.slice(s![..2, .., ..]), row);
    assert_eq!(enlarged(&row, 3).slice(s![1..;3, 2..;3, ..]), row);
}

#[test]
fn an_unwritable_place_is_one_line_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"kept").unwrap();
    let error = write_picture(&file.join("a.png"), &blank(2, 2)).unwrap_err().to_string();
    assert!(error.contains("file/a.png: output file: expected to create a file"), "{error}");
    assert_eq!(error.lines().count(), 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read(&file).unwrap(), b"kept");
}

/// sRGB to CIE L*a*b* (D65), seen through a linear RGB matrix.
fn lab(colour: [u8; 3], sight: [[f64; 3]; 3]) -> [f64; 3] {
    let apply =
        |m: [[f64; 3]; 3], v: [f64; 3]| m.map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum::<f64>());
    let linear = colour.map(|value| {
        let value = f64::from(value) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    let seen = apply(sight, linear).map(|value| value.clamp(0.0, 1.0));
    let to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ];
    let (xyz, white) = (apply(to_xyz, seen), apply(to_xyz, [1.0; 3]));
    let f: [f64; 3] = std::array::from_fn(|axis| {
        let t = xyz[axis] / white[axis];
        if t > 216.0 / 24389.0 { t.cbrt() } else { (24389.0 / 27.0 * t + 16.0) / 116.0 }
    });
    [116.0 * f[1] - 16.0, 500.0 * (f[0] - f[1]), 200.0 * (f[1] - f[2])]
}

/// Matrices of Machado, Oliveira, Fernandes (2009), severity 1.
#[test]
fn the_palette_can_be_told_apart_by_the_colour_blind() {
    let sights = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ];
    let colours: Vec<[u8; 3]> = PALETTE.into_iter().chain([IGNORE_COLOUR]).collect();
    for sight in sights {
        for (index, &first) in colours.iter().enumerate() {
            for &second in &colours[..index] {
                let (a, b) = (lab(first, sight), lab(second, sight));
                let distance = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                assert!(distance > 23.0, "{first:?} and {second:?} are {distance:.1} apart");
            }
        }
    }
}
