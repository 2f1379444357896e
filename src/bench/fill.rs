//! The numbers in a tensor: the same in every program that reads the same file of workloads.

/// Element `i` of the result, in wrapping 32-bit arithmetic, `s` the seed:
///
/// ```text
/// h = i * 2654435761 + s * 2246822519;  h ^= h >> 15;  h *= 2654435769;  h ^= h >> 13
/// value = ((h >> 8) / 2^24 - 0.5) * 2 * scale + offset        in f64, then rounded to f32
/// ```
pub fn fill(seed: u32, len: usize, scale: f64, offset: f64) -> Vec<f32> {
    let start = seed.wrapping_mul(2_246_822_519);
    let value = |i: usize| {
        let mut h = (i as u32).wrapping_mul(2_654_435_761).wrapping_add(start);
        h ^= h >> 15;
        h = h.wrapping_mul(2_654_435_769);
        h ^= h >> 13;
        ((f64::from(h >> 8) / 16_777_216.0 - 0.5) * 2.0 * scale + offset) as f32
    };
    (0..len).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::fill;

    /// The values are those of the same formula in NumPy.
    #[test]
    fn values_of_another_program() {
        assert_eq!(fill(1, 4, 0.5, 0.0), [-0.41586113, -0.25848252, 0.0634771, 0.14129066]);
        assert_eq!(fill(1000, 3, 1.0, 0.25), [-0.024677873, 0.6056833, 0.7691442]);
        assert_eq!(fill(7, 1_000_003, 3.0, 0.0)[1_000_002], -2.1008997);
    }
}
