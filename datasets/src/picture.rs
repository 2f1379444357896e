//! Reading JPEG and PNG files of any pixel format as RGB.
//!
//! The memory that a file asks for is bounded by its size: every block of 8 x 8 values takes at least one bit in a JPEG
//! file, and deflate shrinks a PNG file by less than 1032 to 1.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::Path;

use ndarray::Array3;
use png::{ColorType, Transformations};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::error::DataError;
use crate::files::read_bytes;

/// The extensions of pictures, in the order in which they are looked for.
pub(crate) const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "JPG", "JPEG", "PNG"];

/// The most pixels that a picture may have.
const MAX_PIXELS: u64 = 100_000_000;

const EXPECTED: &str = "a JPEG or PNG picture";

fn error(path: &Path, found: String) -> DataError {
    DataError::Content { path: path.to_owned(), field: "picture", expected: EXPECTED.to_owned(), found }
}

/// The kind of a file by its first bytes: names often lie.
enum Kind {
    Jpeg,
    Png,
}

fn kind(path: &Path, start: &[u8]) -> Result<Kind, DataError> {
    match start {
        [] => Err(error(path, "an empty file".to_owned())),
        [0xff, 0xd8, 0xff, ..] => Ok(Kind::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(Kind::Png),
        [b'B', b'M', ..] => Err(error(path, "a BMP file".to_owned())),
        [b'G', b'I', b'F', b'8', ..] => Err(error(path, "a GIF file".to_owned())),
        [b'R', b'I', b'F', b'F', ..] => Err(error(path, "a RIFF file (WebP?)".to_owned())),
        _ => Err(error(path, "a file of another kind".to_owned())),
    }
}

/// (height, width) from the header.
pub(crate) fn read_picture_size(path: &Path) -> Result<(usize, usize), DataError> {
    let missing =
        |found| DataError::Missing { path: path.to_owned(), field: "picture", expected: "a file", found };
    if path.is_dir() {
        return Err(missing("a folder"));
    }
    let file = File::open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => missing("nothing there"),
        _ => DataError::Unreadable { path: path.to_owned(), field: "picture", source },
    })?;
    let unreadable = |source| DataError::Unreadable { path: path.to_owned(), field: "picture", source };
    let bytes = file.metadata().map_err(unreadable)?.len();
    let mut file = BufReader::new(file);
    let kind = kind(path, file.fill_buf().map_err(unreadable)?)?;
    match kind {
        Kind::Jpeg => Ok(jpeg(path, bytes, file)?.1),
        Kind::Png => {
            let mut decoder = png::Decoder::new(file);
            let info = decoder.read_header_info().map_err(|source| png_error(path, &source))?;
            let size = (info.height, info.width);
            check_size(path, size, bytes, 8 * 1032)
        }
    }
}

/// A picture in [0, 1], (3, H, W).
pub(crate) fn read_picture(path: &Path) -> Result<Array3<f32>, DataError> {
    picture_of_bytes(path, &read_bytes(path, "picture")?, MAX_PIXELS)
}

/// The picture, of at most `pixels`, that a JPEG or PNG file of these bytes would hold: RGB in [0, 1], (3, H, W). `path` is
/// what errors call it. A larger picture is refused by its header, before it is unpacked.
///
/// # Errors
/// If it is no whole picture of these kinds, or too large a one.
///
/// # Examples
/// ```
/// use std::path::Path;
/// use ndarray::{Array3, array};
/// use termwise_datasets::{picture_of_bytes, png_out::write_picture};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("two_pixels.png");
/// let red_and_white: Array3<u8> = array![[[255, 0, 0], [255, 255, 255]]]; // (1, 2, 3)
/// write_picture(&path, &red_and_white)?;
/// let bytes = std::fs::read(&path)?;
/// let image = picture_of_bytes(Path::new("upload"), &bytes, 1000)?;
/// assert_eq!(image, array![[[1.0, 1.0]], [[0.0, 1.0]], [[0.0, 1.0]]]); // (3, 1, 2)
/// let error = picture_of_bytes(Path::new("upload"), &bytes, 1).unwrap_err();
/// let expected = "upload: picture: expected a JPEG or PNG picture of at most 1 pixels, found one of 2 x 1 pixels";
/// assert_eq!(error.to_string(), expected);
/// assert!(picture_of_bytes(Path::new("upload"), &bytes[..30], 1000).is_err()); // cut off
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn picture_of_bytes(path: &Path, bytes: &[u8], pixels: u64) -> Result<Array3<f32>, DataError> {
    let within = |size: (usize, usize)| {
        if (size.0 * size.1) as u64 <= pixels {
            return Ok(size);
        }
        let expected = format!("{EXPECTED} of at most {pixels} pixels");
        let found = format!("one of {} x {} pixels", size.1, size.0);
        Err(DataError::Content { path: path.to_owned(), field: "picture", expected, found })
    };
    let (size, rgb) = match kind(path, bytes)? {
        Kind::Jpeg => {
            let (mut decoder, size) = jpeg(path, bytes.len() as u64, Cursor::new(bytes))?;
            within(size)?;
            if !has_end(bytes) {
                return Err(error(path, format!("a JPEG file that is cut off after {} bytes", bytes.len())));
            }
            let pixels =
                decoder.decode().map_err(|source| error(path, format!("a damaged JPEG file: {source}")))?;
            (size, pixels)
        }
        Kind::Png => png(path, bytes, &within)?,
    };
    let (height, width) = size;
    if rgb.len() != 3 * height * width {
        return Err(error(path, format!("{} values for {width} x {height} pixels", rgb.len())));
    }
    Ok(Array3::from_shape_fn((3, height, width), |(channel, row, column)| {
        f32::from(rgb[3 * (row * width + column) + channel]) / 255.0
    }))
}

/// A decoder whose headers are read, and (height, width).
fn jpeg<R: BufRead + Seek>(
    path: &Path,
    bytes: u64,
    reader: R,
) -> Result<(JpegDecoder<R>, (usize, usize)), DataError> {
    // Strict: a cut file is an error and not a picture with a grey end. Portable code: the same bits on every machine.
    let options = DecoderOptions::new_safe()
        .set_strict_mode(true)
        .set_use_unsafe(false)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(reader, options);
    decoder.decode_headers().map_err(|source| error(path, format!("a damaged JPEG file: {source}")))?;
    let Some(info) = decoder.info() else { return Err(error(path, "a JPEG file without a size".to_owned())) };
    let size = check_size(path, (info.height.into(), info.width.into()), bytes, 8 * 64)?;
    Ok((decoder, size))
}

/// Whether a JPEG file goes on to its end marker. The decoder takes bits that are missing at the end of the last rows
/// for zeros.
fn has_end(bytes: &[u8]) -> bool {
    let mut at = 2; // behind the start marker
    // Segments have a length, so that the end of a thumbnail inside of one is not taken for that of the picture.
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        at += match marker {
            0xff => 1,               // a fill byte
            0x01 | 0xd0..=0xd7 => 2, // markers without a segment
            _ => 2 + usize::from(u16::from_be_bytes([high, low])),
        };
        if marker == 0xda {
            // The scan data, in which 0xff is followed by 0 or a restart marker.
            return bytes.get(at..).is_some_and(|rest| rest.windows(2).any(|pair| pair == [0xff, 0xd9]));
        }
    }
    false
}

/// RGB bytes of the first frame of a PNG file.
fn png(
    path: &Path,
    bytes: &[u8],
    within: &dyn Fn((usize, usize)) -> Result<(usize, usize), DataError>,
) -> Result<((usize, usize), Vec<u8>), DataError> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|source| png_error(path, &source))?;
    let (width, height) = (reader.info().width, reader.info().height);
    let size = within(check_size(path, (height, width), bytes.len() as u64, 8 * 1032)?)?;
    let needed = reader.output_buffer_size().filter(|needed| needed / (8 * 1032) <= bytes.len());
    let Some(needed) = needed else {
        return Err(error(path, "a PNG file that claims too large a picture".to_owned()));
    };
    let mut buffer = vec![0; needed];
    let info = reader.next_frame(&mut buffer).map_err(|source| png_error(path, &source))?;
    reader.finish().map_err(|source| png_error(path, &source))?;
    buffer.truncate(info.buffer_size());
    let rgb = match info.color_type {
        ColorType::Rgb => buffer,
        ColorType::Rgba => buffer.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
        ColorType::Grayscale => buffer.iter().flat_map(|&grey| [grey; 3]).collect(),
        ColorType::GrayscaleAlpha => buffer.chunks_exact(2).flat_map(|pixel| [pixel[0]; 3]).collect(),
        ColorType::Indexed => {
            return Err(error(path, "a PNG file whose palette is not looked up".to_owned()));
        }
    };
    Ok((size, rgb))
}

fn png_error(path: &Path, source: &png::DecodingError) -> DataError {
    error(path, format!("a damaged PNG file: {source}"))
}

/// Refuses a picture without pixels, and one that has more than the file could hold.
fn check_size(
    path: &Path,
    (height, width): (u32, u32),
    bytes: u64,
    pixels_per_byte: u64,
) -> Result<(usize, usize), DataError> {
    let (height, width) = (u64::from(height), u64::from(width));
    let pixels = height * width;
    if pixels == 0 || pixels > MAX_PIXELS || pixels / pixels_per_byte > bytes {
        let found = format!("one of {width} x {height} pixels in {bytes} bytes");
        let expected = format!("{EXPECTED} of 1 to {MAX_PIXELS} pixels that the file can hold");
        return Err(DataError::Content { path: path.to_owned(), field: "picture", expected, found });
    }
    Ok((height as usize, width as usize))
}
