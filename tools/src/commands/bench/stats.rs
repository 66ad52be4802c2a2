//! Figures of repeated measurements.

use std::fmt;

/// What repetitions agree on, robust against single disturbed ones.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Figure {
    /// The median.
    pub median: f64,
    /// The median distance from the median: half of the repetitions lie that near.
    pub spread: f64,
}

impl Figure {
    /// Of at least one sample.
    pub fn of(samples: &[f64]) -> Figure {
        let median = self::median(samples);
        let distances: Vec<f64> = samples.iter().map(|s| (s - median).abs()).collect();
        Figure { median, spread: self::median(&distances) }
    }

    /// Of the quotients of samples taken side by side.
    pub fn of_ratios(ours: &[f64], theirs: &[f64]) -> Figure {
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
        Figure::of(&ratios)
    }
}

/// `271.5 ± 1.2`: four significant digits or more, both with the same number of decimals.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = if self.median < 10.0 { 2 } else { usize::from(self.median < 1000.0) };
        write!(f, "{:.decimals$} ± {:.decimals$}", self.median, self.spread)
    }
}

/// The value in the middle, or the mean of the two there; NaN of nothing.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len() / 2, sorted.len() % 2) {
        (0, 0) => f64::NAN,
        (middle, 1) => sorted[middle],
        (middle, _) => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// The arithmetic mean.
pub fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

/// The sample standard deviation; 0 of a single sample.
pub fn stddev(samples: &[f64]) -> f64 {
    if samples.len() < 2 {
        return 0.0;
    }
    let mean = mean(samples);
    (samples.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (samples.len() - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_that_of_a_sample() {
        assert_eq!(mean(&[1.0, 3.0]), 2.0);
        assert_eq!(stddev(&[1.0, 3.0]), 2f64.sqrt());
        assert_eq!(stddev(&[5.0]), 0.0);
    }

    #[test]
    fn one_disturbed_repetition_does_not_show() {
        assert_eq!(Figure::of(&[10.0, 11.0, 1.0, 12.0, 11.0]), Figure { median: 11.0, spread: 1.0 });
        assert_eq!(Figure::of(&[10.0, 20.0]), Figure { median: 15.0, spread: 5.0 });
        assert_eq!(Figure::of(&[7.0]), Figure { median: 7.0, spread: 0.0 });
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn ratios_are_of_pairs() {
        // The machine slowed down by half for both: their ratio did not change.
        let ratio = Figure::of_ratios(&[100.0, 50.0, 104.0], &[50.0, 25.0, 50.0]);
        assert_eq!(ratio.median, 2.0);
        assert_eq!(ratio.spread, 0.0);
    }

    #[test]
    fn figures_print_what_they_are_good_for() {
        let text = |median, spread| Figure { median, spread }.to_string();
        assert_eq!(text(2.276, 0.031), "2.28 ± 0.03");
        assert_eq!(text(52.34, 0.46), "52.3 ± 0.5");
        assert_eq!(text(1620.4, 12.2), "1620 ± 12");
    }
}
