//! Where each output position of a resized image reads its input, one axis at a time.

/// How values between pixels are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// The pixel at `floor(dst s)`.
    Nearest,
    /// Linear between the two neighbours along each axis.
    Bilinear {
        /// `true`: the centres of the corner pixels stay where they are, `src = dst (in - 1) / (out - 1)`
        /// (0 for one output). `false`: the edges do, `src = max((dst + 0.5) s - 0.5, 0)`.
        align_corners: bool,
    },
}

/// The new size, as `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Resize {
    /// This size; `s = in / out`.
    Size([usize; 2]),
    /// `floor(in factor)`; `s = 1 / factor`, whatever was rounded off.
    Scale([f64; 2]),
}

impl Resize {
    /// The number of output positions along `axis` (0 vertical, 1 horizontal) for `input` positions.
    fn output(self, axis: usize, input: usize) -> usize {
        match self {
            Resize::Size(size) => size[axis],
            Resize::Scale(factors) => (input as f64 * factors[axis]).floor() as usize,
        }
    }

    /// Whether an image (.., H, W) and its resized one have pixels.
    pub(super) fn fits(self, shape: &[usize]) -> bool {
        [0, 1].into_iter().all(|axis| {
            let input = shape[shape.len() - 2 + axis];
            input > 0 && self.output(axis, input) > 0
        })
    }

    /// The sources along both axes.
    #[track_caller]
    pub(super) fn axes(self, op: &str, shape: &[usize], mode: Interpolation) -> [ResizeAxis; 2] {
        assert!(shape.len() >= 2, "{op}: x must be (.., H, W), its shape is {shape:?}");
        if let Resize::Scale(factors) = self {
            assert!(
                factors.iter().all(|factor| *factor > 0.0 && factor.is_finite()),
                "{op}: scale factors must be positive and finite, they are {factors:?}"
            );
        }
        assert!(self.fits(shape), "{op}: no pixel in x {shape:?} or after resizing to {self:?}");
        [0, 1].map(|axis| {
            let input = shape[shape.len() - 2 + axis];
            let output = self.output(axis, input);
            let sources = (0..output).map(|dst| self.source(axis, dst, input, output, mode)).collect();
            ResizeAxis { input, sources }
        })
    }

    fn source(self, axis: usize, dst: usize, input: usize, output: usize, mode: Interpolation) -> Source {
        let position = dst as f64;
        let step = match self {
            Resize::Size(_) => input as f64 / output as f64,
            Resize::Scale(factors) => 1.0 / factors[axis],
        };
        let src = match (mode, self) {
            // floor(dst in / out) in whole numbers: dst (in / out) may round to just below one.
            (Interpolation::Nearest, Resize::Size(_)) => (dst * input / output) as f64,
            // Single precision rounds 2.9999999999 to 3, which is what was meant.
            (Interpolation::Nearest, Resize::Scale(_)) => f64::from(((position * step) as f32).floor()),
            (Interpolation::Bilinear { align_corners: true }, _) if output == 1 => 0.0,
            (Interpolation::Bilinear { align_corners: true }, _) => {
                position * (input as f64 - 1.0) / (output as f64 - 1.0)
            }
            (Interpolation::Bilinear { align_corners: false }, _) => ((position + 0.5) * step - 0.5).max(0.0),
        };
        let low = (src as usize).min(input - 1);
        let high = (low + 1).min(input - 1);
        Source { low, high, weight: if high == low { 0.0 } else { src - low as f64 } }
    }
}

/// The sources of all output positions along one axis.
#[derive(Clone, Debug)]
pub struct ResizeAxis {
    /// Extent of the input.
    pub input: usize,
    /// One per output position.
    pub sources: Vec<Source>,
}

/// What one output position reads: `(1 - weight) x[low] + weight x[high]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Source {
    /// The neighbour below (or the only one).
    pub low: usize,
    /// The neighbour above.
    pub high: usize,
    /// Share of the neighbour above: 0 .. 1.
    pub weight: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_is_exact_where_floating_point_is_not() {
        // 41 * (2 / 82) in single precision is just below 1.
        let axes = Resize::Size([82, 82]).axes("interpolate", &[2, 2], Interpolation::Nearest);
        assert_eq!((axes[0].sources[40].low, axes[0].sources[41].low), (0, 1));
        for (input, output) in [(3, 123), (7, 5), (49, 7), (1, 4)] {
            let [axis, _] =
                Resize::Size([output; 2]).axes("interpolate", &[input; 2], Interpolation::Nearest);
            for (dst, source) in axis.sources.iter().enumerate() {
                assert_eq!((source.low, source.weight), (dst * input / output, 0.0));
            }
        }
    }

    #[test]
    fn a_factor_keeps_its_own_step_where_the_size_was_rounded() {
        // 5 * 1.7 = 8.5 becomes 8; the step stays 1 / 1.7, not 5 / 8.
        let mode = Interpolation::Bilinear { align_corners: false };
        let [axis, _] = Resize::Scale([1.7; 2]).axes("interpolate", &[5, 5], mode);
        assert_eq!(axis.sources.len(), 8);
        let last = axis.sources[7];
        assert!((last.low as f64 + last.weight - (7.5 / 1.7 - 0.5)).abs() < 1e-12);
    }

    #[test]
    #[should_panic(expected = "interpolate: no pixel in x [1, 3, 3] or after resizing to Scale([0.2, 1.0])")]
    fn an_empty_result_is_refused() {
        Resize::Scale([0.2, 1.0]).axes("interpolate", &[1, 3, 3], Interpolation::Nearest);
    }
}
