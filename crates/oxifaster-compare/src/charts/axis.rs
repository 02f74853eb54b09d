//! Scales: from figures to places in a picture.

/// Figures from `low` to `high` over places from `start` to `end`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) start: f64,
    pub(super) end: f64,
    /// Equal ratios take equal space.
    pub(super) is_log: bool,
}

impl Axis {
    pub(super) fn place(&self, figure: f64) -> f64 {
        let scale = |figure: f64| if self.is_log { figure.max(f64::MIN_POSITIVE).ln() } else { figure };
        let (low, high) = (scale(self.low), scale(self.high));
        let share = if high > low { (scale(figure) - low) / (high - low) } else { 0.0 };
        self.start + share.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// Round figures along the axis.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.is_log {
            let decades = (self.low.log10().ceil() as i32)..=(self.high.log10().floor() as i32);
            return decades.map(|decade| 10_f64.powi(decade)).collect();
        }
        let rough = (self.high - self.low) / 5.0;
        let decade = 10_f64.powf(rough.max(f64::MIN_POSITIVE).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * decade).find(|step| *step >= rough);
        let step = step.unwrap_or(decade * 10.0);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|tick| tick as f64 * step).collect()
    }
}

/// A figure with a unit of thousands.
pub(super) fn label(figure: f64) -> String {
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (scale, unit) = units.into_iter().find(|(scale, _)| figure.abs() >= *scale).unwrap_or((1.0, ""));
    let scaled = figure / scale;
    if scaled >= 100.0 || scaled.fract().abs() < 1e-9 {
        format!("{scaled:.0}{unit}")
    } else {
        format!("{scaled:.2}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_middles_are_where_they_belong() {
        let linear = Axis { low: 0.0, high: 10.0, start: 100.0, end: 200.0, is_log: false };
        assert_eq!([0.0, 5.0, 10.0, 99.0].map(|figure| linear.place(figure)), [100.0, 150.0, 200.0, 200.0]);
        assert_eq!(linear.ticks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        let log = Axis { low: 1.0, high: 100.0, start: 0.0, end: 2.0, is_log: true };
        assert!((log.place(10.0) - 1.0).abs() < 1e-9);
        assert_eq!(log.ticks(), [1.0, 10.0, 100.0]);
        assert_eq!([999.0, 1_500.0, 2e6].map(label), ["999", "1.50k", "2M"]);
    }
}
