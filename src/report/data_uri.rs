//! Pictures as bytes of a PNG file and as `data:` addresses.

use png::{BitDepth, ColorType, Encoder};

/// A PNG file of `width` by `height` pixels, three bytes each.
///
/// # Panics
/// If a side is zero, or `rgb` has another number of bytes.
#[track_caller]
pub fn png_bytes(width: usize, height: usize, rgb: &[u8]) -> Vec<u8> {
    assert!(
        width > 0 && height > 0 && rgb.len() == 3 * width * height,
        "png_bytes: {} bytes for {width} x {height} pixels of three bytes",
        rgb.len()
    );
    let side = |pixels: usize| u32::try_from(pixels).expect("a picture side fits into 32 bits");
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, side(width), side(height));
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    // Writing into memory fails only for sizes that are excluded above.
    let mut writer = encoder.write_header().expect("a PNG header of a checked size");
    writer.write_image_data(rgb).expect("as many bytes as the header says");
    writer.finish().expect("a PNG end chunk");
    bytes
}

/// The address that holds a PNG file itself.
pub fn png_data_uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64(png))
}

/// RFC 4648, section 4.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let six = (bits >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit <= group.len() { char::from(DIGITS[six]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of RFC 4648, section 10.
    #[test]
    fn base64_is_that_of_the_standard() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }

    #[test]
    fn a_png_file_holds_the_pixels() {
        let rgb: Vec<u8> = (0..18).collect();
        let bytes = png_bytes(3, 2, &rgb);
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let mut found = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut found).unwrap();
        assert_eq!((info.width, info.height), (3, 2));
        assert_eq!(found, rgb);
    }
}
