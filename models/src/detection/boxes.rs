//! Boxes as the detector computes with them, and the numbers by which one box is predicted from another.

/// A box `[x1, y1, x2, y2]` with `x1 <= x2`, `y1 <= y2`, in pixels, half open.
pub type Corners = [f64; 4];

/// The largest growth of a side that is decoded; larger ones would overflow.
const MAX_GROWTH: f64 = 1000.0 / 16.0;

/// Width and height of a box.
pub fn extent(b: &Corners) -> (f64, f64) {
    (b[2] - b[0], b[3] - b[1])
}

/// The part of a box inside a picture of (height, width).
pub fn clip(b: &Corners, (height, width): (f64, f64)) -> Corners {
    [b[0].clamp(0.0, width), b[1].clamp(0.0, height), b[2].clamp(0.0, width), b[3].clamp(0.0, height)]
}

/// The share of `b` that lies in `region`; 0 for a box without area.
pub fn covered(b: &Corners, region: &Corners) -> f64 {
    let width = (b[2].min(region[2]) - b[0].max(region[0])).max(0.0);
    let height = (b[3].min(region[3]) - b[1].max(region[1])).max(0.0);
    let (w, h) = extent(b);
    if w * h > 0.0 { width * height / (w * h) } else { 0.0 }
}

/// Boxes relative to others: shifts as shares of the side, growths as logarithms.
///
/// # Formula
/// With centre `(x, y)`, width `w`, height `h` of a box and `x_a ..` those of its anchor:
/// `t_x = k_x (x - x_a) / w_a`, `t_y = k_y (y - y_a) / h_a`, `t_w = k_w ln(w / w_a)`, `t_h = k_h ln(h / h_a)`.
///
/// Source: Girshick et al., "Rich feature hierarchies", CVPR 2014; the weights `k` bring the numbers to
/// about unit variance (Fast R-CNN).
///
/// ```
/// use termwise_models::detection::BoxCoder;
/// let (anchor, target) = ([0.0, 0.0, 8.0, 8.0], [2.0, -4.0, 10.0, 12.0]);
/// let deltas = BoxCoder::PROPOSALS.encode(&anchor, &target);
/// assert_eq!(deltas, [0.25, 0.0, 0.0, 2f64.ln()]); // a quarter to the right, twice as high
/// let decoded = BoxCoder::PROPOSALS.decode(&anchor, deltas);
/// assert!(decoded.iter().zip(target).all(|(a, b)| (a - b).abs() < 1e-12));
/// assert_eq!(BoxCoder::FINAL.encode(&anchor, &target)[0], 2.5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxCoder {
    /// `k_x`, `k_y`, `k_w`, `k_h`.
    pub weights: [f64; 4],
}

impl BoxCoder {
    /// For proposals from anchors, which are far from their object.
    pub const PROPOSALS: Self = BoxCoder { weights: [1.0; 4] };
    /// For final boxes from proposals, which are near it.
    pub const FINAL: Self = BoxCoder { weights: [10.0, 10.0, 5.0, 5.0] };

    /// What is to be predicted for `anchor` so that [`decode`](Self::decode) gives `target`; both have area.
    pub fn encode(&self, anchor: &Corners, target: &Corners) -> [f64; 4] {
        let ((w, h), (tw, th)) = (extent(anchor), extent(target));
        let [kx, ky, kw, kh] = self.weights;
        [
            kx * (target[0] + tw / 2.0 - anchor[0] - w / 2.0) / w,
            ky * (target[1] + th / 2.0 - anchor[1] - h / 2.0) / h,
            kw * (tw / w).ln(),
            kh * (th / h).ln(),
        ]
    }

    /// The box that `deltas` say for `anchor`. Growths beyond 62.5 are cut.
    pub fn decode(&self, anchor: &Corners, deltas: [f64; 4]) -> Corners {
        let (w, h) = extent(anchor);
        let [kx, ky, kw, kh] = self.weights;
        let x = anchor[0] + w / 2.0 + deltas[0] / kx * w;
        let y = anchor[1] + h / 2.0 + deltas[1] / ky * h;
        let half_w = w / 2.0 * (deltas[2] / kw).min(MAX_GROWTH.ln()).exp();
        let half_h = h / 2.0 * (deltas[3] / kh).min(MAX_GROWTH.ln()).exp();
        [x - half_w, y - half_h, x + half_w, y + half_h]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn corners() -> impl Strategy<Value = Corners> {
        (-50.0..400.0f64, -50.0..400.0f64, 0.5..300.0f64, 0.5..300.0f64)
            .prop_map(|(x, y, w, h)| [x, y, x + w, y + h])
            // Within the growth that decoding cuts.
            .prop_filter("not too long", |b| extent(b).0 >= 5.0 && extent(b).1 >= 5.0)
    }

    proptest! {
        #[test]
        fn decode_undoes_encode(anchor in corners(), target in corners(), last in any::<bool>()) {
            let coder = if last { BoxCoder::FINAL } else { BoxCoder::PROPOSALS };
            let back = coder.decode(&anchor, coder.encode(&anchor, &target));
            for (a, b) in back.iter().zip(&target) {
                prop_assert!((a - b).abs() < 1e-9, "{anchor:?} {target:?} {back:?}");
            }
        }

        #[test]
        fn encode_undoes_decode(anchor in corners(), deltas in prop::array::uniform4(-4.0..4.0f64)) {
            let again = BoxCoder::PROPOSALS.encode(&anchor, &BoxCoder::PROPOSALS.decode(&anchor, deltas));
            for (a, b) in again.iter().zip(&deltas) {
                prop_assert!((a - b).abs() < 1e-9, "{anchor:?} {deltas:?} {again:?}");
            }
        }
    }

    #[test]
    fn deltas_by_hand() {
        // Centre (10, 10) of a 20 x 10 anchor, to centre (15, 10), 40 x 5.
        let (anchor, target) = ([0.0, 5.0, 20.0, 15.0], [-5.0, 7.5, 35.0, 12.5]);
        let expected = [0.25, 0.0, 2f64.ln(), 0.5f64.ln()];
        assert_eq!(BoxCoder::PROPOSALS.encode(&anchor, &target), expected);
        assert_eq!(BoxCoder::FINAL.encode(&anchor, &target), [2.5, 0.0, 5.0 * 2f64.ln(), 5.0 * 0.5f64.ln()]);
    }

    #[test]
    fn a_wild_prediction_stays_finite() {
        let wild = BoxCoder::PROPOSALS.decode(&[0.0, 0.0, 16.0, 16.0], [0.0, 0.0, 1e30, 5.0]);
        let (w, h) = extent(&wild);
        assert!((w - 1000.0).abs() < 1e-9 && (h - 1000.0).abs() < 1e-9, "{wild:?}");
    }

    #[test]
    fn coverage_counts_the_box_alone() {
        assert_eq!(covered(&[0.0, 0.0, 2.0, 2.0], &[1.0, 0.0, 100.0, 100.0]), 0.5);
        assert_eq!(covered(&[0.0, 0.0, 0.0, 2.0], &[0.0, 0.0, 9.0, 9.0]), 0.0);
    }
}
