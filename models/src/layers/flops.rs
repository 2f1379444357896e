use termwise_ops::attention::{AttentionCode, Terms};

/// Where an attention works: a map of H x W positions, or a sequence of N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Height and width.
    Image(usize, usize),
    /// Length.
    Sequence(usize),
}

impl Extent {
    /// N, the number of positions.
    pub fn positions(self) -> usize {
        match self {
            Extent::Image(height, width) => height * width,
            Extent::Sequence(length) => length,
        }
    }
}

/// Multiply-adds that the attention `code` adds to a network for one sample, forward, at one place with C `channels` in
/// M `heads` (the G groups of dynamic convolution) and `kernel` taps in each direction for dynamic convolution, which is
/// also what Transformer attention is limited to where `limit_range` says so. Leading terms, as in the paper's Table 1;
/// N positions, S keys that a query sees, K taps:
///
/// | part | multiply-adds |
/// |---|---|
/// | values and output | 2 N C² |
/// | queries with E1 or E2; keys with E1 or E3 | N C² each |
/// | energies E1 | N S C |
/// | energies E2 | N (H + W) C on images, where they fall apart into a row's and a column's; N S C on sequences |
/// | energies E3; E4 | N C; (H + W) C or N C |
/// | sum over the keys | N S C, and N C where no query or place tells the rows of the weights apart |
/// | projected positions with E2 or E4 | (H + W) C² on images, 2 N C² on sequences |
/// | dynamic convolution | 3 N C² for its linear layers, N C G K to predict the kernels, N C K to apply them |
/// | deformable convolution on images | offsets 2 K² N C and 4 bilinear products K N C: what it takes beyond the regular one it replaces |
/// | deformable unit on sequences | K N C² for the convolution, K N C for the offsets, 2 K N C to interpolate |
///
/// # Examples
/// ```
/// use termwise_models::layers::{Extent, attention_flops};
/// let count = |code: &str, side| attention_flops(code.parse().unwrap(), Extent::Image(side, side), [64, 8, 3], false);
/// assert_eq!(count("0010", 2), 3.0 * 4.0 * 64.0 * 64.0 + 2.0 * 4.0 * 64.0); // N = 4, C = 64
/// // Four times the side is sixteen times the positions: E3 follows them, E1 follows their square.
/// assert_eq!(count("0010", 64) / count("0010", 16), 16.0);
/// assert!(count("1000", 64) / count("1000", 16) > 150.0);
/// ```
pub fn attention_flops(
    code: AttentionCode,
    extent: Extent,
    [channels, heads, kernel]: [usize; 3],
    limit_range: bool,
) -> f64 {
    let (n, c) = (extent.positions() as f64, channels as f64);
    let taps = |kernel: usize| match extent {
        Extent::Image(..) => (kernel * kernel) as f64,
        Extent::Sequence(_) => kernel as f64,
    };
    let seen = if limit_range { taps(kernel).min(n) } else { n };
    let mut module = code.module.terms().map_or(0.0, |terms| transformer(terms, extent, c, seen));
    if code.module.is_dynamic() {
        module += 3.0 * n * c * c + n * c * (heads as f64 + 1.0) * taps(kernel);
    }
    let k = taps(3);
    let deformable = match extent {
        Extent::Image(..) => n * c * (2.0 * k * k + 4.0 * k),
        Extent::Sequence(_) => n * c * (k * c + 3.0 * k),
    };
    module + if code.deformable { deformable } else { 0.0 }
}

/// Multiply-adds of encoder-decoder attention with T `queries` to S `keys`, C `channels`; see [`attention_flops`].
///
/// # Examples
/// ```
/// use termwise_models::layers::cross_attention_flops;
/// let count = |terms: &str| cross_attention_flops(terms.parse().unwrap(), [3, 5], 8);
/// assert_eq!(count("0000"), 8.0 * 64.0 + 5.0 * 8.0); // values of 5 keys, output of 3 queries, one sum
/// ```
pub fn cross_attention_flops(terms: Terms, [queries, keys]: [usize; 2], channels: usize) -> f64 {
    let (t, s, c) = (queries as f64, keys as f64, channels as f64);
    let pairs = if terms.query_key { 2.0 * t * s * c } else { s * c };
    let projections = [(true, t + s), (terms.uses_query(), t), (terms.uses_key(), s)];
    let projected: f64 = projections.iter().filter(|(used, _)| *used).map(|(_, rows)| rows * c * c).sum();
    projected + pairs + if terms.key { s * c } else { 0.0 }
}

fn transformer(terms: Terms, extent: Extent, c: f64, seen: f64) -> f64 {
    let n = extent.positions() as f64;
    let (offsets, split) = match extent {
        Extent::Image(height, width) => ((height + width) as f64, true),
        Extent::Sequence(length) => (2.0 * length as f64, false),
    };
    let projections = 2.0 + f64::from(terms.uses_query()) + f64::from(terms.uses_key());
    let parts = [
        (true, projections * n * c * c),
        (terms.uses_position(), offsets * c * c),
        (terms.query_key, n * seen * c),
        (terms.query_position, n * c * if split { offsets.min(seen) } else { seen }),
        (terms.key, n * c),
        (terms.position, offsets * c),
        (true, if terms.uses_query() || terms.uses_position() { n * seen * c } else { n * c }),
    ];
    parts.iter().filter(|(used, _)| *used).map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str, extent: Extent) -> f64 {
        attention_flops(code.parse().unwrap(), extent, [8, 2, 3], false)
    }

    /// By hand, for C = 8 on a map of 4 x 5 (N = 20) and a sequence of 20.
    #[test]
    fn counts_are_those_made_by_hand() {
        let (image, text) = (Extent::Image(4, 5), Extent::Sequence(20));
        let (nc2, n2c, nc) = (20.0 * 64.0, 400.0 * 8.0, 160.0);
        for (code, extent, expected) in [
            ("w/o", image, 0.0),
            ("0000", image, 2.0 * nc2 + nc),
            ("0010", image, 3.0 * nc2 + 2.0 * nc),
            ("1000", image, 4.0 * nc2 + 2.0 * n2c),
            ("0100", image, 3.0 * nc2 + 9.0 * 64.0 + 9.0 * nc + n2c),
            ("0100", text, 3.0 * nc2 + 40.0 * 64.0 + 2.0 * n2c),
            ("0001", image, 2.0 * nc2 + 9.0 * 64.0 + 9.0 * 8.0 + n2c),
            ("1111", image, 4.0 * nc2 + 9.0 * 64.0 + n2c + 9.0 * nc + nc + 72.0 + n2c),
            ("dynamic", image, 3.0 * nc2 + nc * 3.0 * 9.0),
            ("dynamic", text, 3.0 * nc2 + nc * 3.0 * 3.0),
            ("deformable", image, nc * (162.0 + 36.0)),
            ("deformable", text, 3.0 * nc2 + 9.0 * nc),
            ("0010+deformable", image, 3.0 * nc2 + 2.0 * nc + nc * 198.0),
            ("0010+dynamic", image, 6.0 * nc2 + 2.0 * nc + nc * 27.0),
        ] {
            assert_eq!(of(code, extent), expected, "{code} on {extent:?}");
        }
    }

    #[test]
    fn a_limited_range_counts_the_keys_in_the_window() {
        let count = |code: &str| attention_flops(code.parse().unwrap(), Extent::Image(4, 5), [8, 2, 3], true);
        assert_eq!(count("1000"), 4.0 * 1280.0 + 2.0 * 20.0 * 9.0 * 8.0);
    }

    #[test]
    fn encoder_decoder_attention_counts_queries_and_keys_apart() {
        let count = |terms: &str| cross_attention_flops(terms.parse().unwrap(), [3, 5], 8);
        assert_eq!(count("1010"), 64.0 * (8.0 + 3.0 + 5.0) + 2.0 * 15.0 * 8.0 + 40.0);
        assert_eq!(count("0000"), 64.0 * 8.0 + 40.0);
        assert_eq!(count("0010"), 64.0 * 13.0 + 80.0);
    }
}
