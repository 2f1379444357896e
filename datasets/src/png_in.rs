//! Reading PNG files strictly: the pixel format that is asked for, complete to the last chunk, or an error.

use std::io::Cursor;
use std::path::Path;

use ndarray::{Array2, Array3};
use png::{BitDepth, ColorType, Decoder, DecodingError, Transformations};

use crate::error::DataError;
use crate::files::read_bytes;

const RGB: &str = "an 8-bit RGB PNG";
const LABEL: &str = "an 8-bit greyscale or a palette PNG";

/// An image in [0, 1].
pub(crate) fn read_image(path: &Path) -> Result<Array3<f32>, DataError> {
    let field = "image";
    let raw = decode(path, field, RGB)?;
    if (raw.color, raw.depth) != (ColorType::Rgb, BitDepth::Eight) {
        return Err(other_format(path, field, RGB, &raw));
    }
    let (height, width) = (raw.height, raw.width);
    Ok(Array3::from_shape_fn((3, height, width), |(channel, row, column)| {
        f32::from(raw.bytes[row * raw.stride + 3 * column + channel]) / 255.0
    }))
}

/// A label map: the grey values, or the palette indices (not the palette's colours).
pub(crate) fn read_labels(path: &Path) -> Result<Array2<u8>, DataError> {
    let field = "label map";
    let raw = decode(path, field, LABEL)?;
    let bits = match (raw.color, raw.depth) {
        (ColorType::Grayscale, BitDepth::Eight) => 8,
        (ColorType::Indexed, depth) => depth as usize, // 1, 2, 4 or 8
        _ => return Err(other_format(path, field, LABEL, &raw)),
    };
    Ok(Array2::from_shape_fn((raw.height, raw.width), |(row, column)| {
        // The leftmost pixel of a byte is in its high bits.
        let bit = column * bits;
        let byte = raw.bytes[row * raw.stride + bit / 8];
        (byte >> (8 - bits - bit % 8)) & (0xff >> (8 - bits))
    }))
}

/// Pixels as the file stores them: rows of `stride` bytes, several pixels in a byte below 8 bits.
struct Raw {
    height: usize,
    width: usize,
    stride: usize,
    color: ColorType,
    depth: BitDepth,
    bytes: Vec<u8>,
}

fn decode(path: &Path, field: &'static str, expected: &'static str) -> Result<Raw, DataError> {
    let bytes = read_bytes(path, field)?;
    let error = |found| DataError::Png { path: path.to_owned(), field, expected, found };
    if bytes.is_empty() {
        return Err(error("an empty file".to_owned()));
    }
    if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        let kind = match bytes.as_slice() {
            [0xff, 0xd8, 0xff, ..] => "a JPEG file",
            _ => "a file without the PNG signature",
        };
        return Err(error(kind.to_owned()));
    }
    let size = bytes.len();
    let damaged = |source: DecodingError| {
        error(match source {
            DecodingError::IoError(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
                format!("a PNG file that is cut off after {size} bytes")
            }
            DecodingError::LimitsExceeded => "a PNG file that claims too large a picture".to_owned(),
            source => format!("a damaged PNG file: {source}"),
        })
    };
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(damaged)?;
    // A few bytes of header may claim terabytes: compare with what the file could hold before allocating.
    // Deflate shrinks by less than 1032 to 1.
    let needed = reader.output_buffer_size().filter(|needed| needed / 1032 <= size);
    let Some(needed) = needed else { return Err(damaged(DecodingError::LimitsExceeded)) };
    let mut buffer = vec![0; needed];
    let info = reader.next_frame(&mut buffer).map_err(damaged)?;
    reader.finish().map_err(damaged)?; // the end chunk: a file cut after its last row is damaged too
    Ok(Raw {
        height: info.height as usize,
        width: info.width as usize,
        stride: info.line_size,
        color: info.color_type,
        depth: info.bit_depth,
        bytes: buffer,
    })
}

fn other_format(path: &Path, field: &'static str, expected: &'static str, raw: &Raw) -> DataError {
    let color = match raw.color {
        ColorType::Grayscale => "greyscale",
        ColorType::Rgb => "RGB",
        ColorType::Indexed => "palette",
        ColorType::GrayscaleAlpha => "greyscale with alpha",
        ColorType::Rgba => "RGB with alpha",
    };
    let found = format!("{}-bit {color}", raw.depth as u8);
    DataError::Png { path: path.to_owned(), field, expected, found }
}
