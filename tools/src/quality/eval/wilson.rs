//! Wilson's interval of a fraction.

/// The two-sided 95 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// The 95 % interval of the probability behind `right` of `of`, after Wilson (1927), "Probable inference, the law of
/// succession, and statistical inference"; 0 to 1 where there is nothing.
pub fn interval(right: u64, of: u64) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let n = of as f64;
    let p = right as f64 / n;
    let z2 = Z * Z;
    let middle = p + z2 / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3, gives
    /// these to four decimals.
    #[test]
    fn known_intervals() {
        for (right, of, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let (l, h) = interval(right, of);
            assert!((l - low).abs() < 5e-5 && (h - high).abs() < 5e-5, "{right} of {of}: {l} to {h}");
        }
    }

    #[test]
    fn ends_and_nothing() {
        assert_eq!(interval(0, 0), (0.0, 1.0));
        assert!(interval(0, 10).0.abs() < 1e-12 && (interval(10, 10).1 - 1.0).abs() < 1e-12);
        let ((low, high), (mirrored_low, mirrored_high)) = (interval(3, 17), interval(14, 17));
        assert!((low + mirrored_high - 1.0).abs() < 1e-12 && (high + mirrored_low - 1.0).abs() < 1e-12);
    }
}
