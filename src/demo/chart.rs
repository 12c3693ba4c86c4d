//! A small picture for a terminal: what was seen against what was expected.

/// Eighths of a block, from nothing to full.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One row of bars for `values`, all on the scale of `top`; a value above it is shown full.
#[expect(clippy::cast_possible_truncation, reason = "clamped to 0..=8")]
#[expect(clippy::cast_sign_loss, reason = "clamped to 0..=8")]
#[must_use]
pub fn bars(values: &[f64], top: f64) -> String {
    let scale = if top > 0.0 { 8.0 / top } else { 0.0 };
    let bar = |value: &f64| {
        let height = (value * scale).ceil().clamp(0.0, 8.0) as usize;
        BARS.get(height).copied().unwrap_or(' ')
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fill_the_scale() {
        assert_eq!(bars(&[0.0, 1.0, 4.0, 8.0, 99.0], 8.0), " ▁▄██");
        assert_eq!(bars(&[1.0], 0.0), " ");
    }
}
