//! What the encoders look for in a group of values.

/// The value of largest magnitude, the first of equals; NaN never is it.
pub(super) fn largest(x: &[f32]) -> f32 {
    x.iter().fold(0.0f32, |max, &v| if v.abs() > max.abs() { v } else { max })
}

/// The smallest and the largest value, not counting NaN.
pub(super) fn range(x: &[f32]) -> (f32, f32) {
    x.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), &v| (min.min(v), max.max(v)))
}
