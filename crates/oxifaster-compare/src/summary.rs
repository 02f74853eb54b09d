//! Several repetitions in few numbers.

/// The least, the middle and the most of some figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// `None` if there are no figures.
    pub(crate) fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Some(Self { min, median, max })
    }

    /// The ratios of figures that were measured next to each other.
    pub(crate) fn of_ratios(figures: &[f64], base: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = figures.iter().zip(base).map(|(figure, base)| figure / base).collect();
        Self::of(&ratios)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Summary::of(&[3.0, 1.0, 2.0]), Some(Summary { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(Summary::of(&[4.0, 1.0]).map(|summary| summary.median), Some(2.5));
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of_ratios(&[2.0, 9.0], &[1.0, 3.0]).map(|summary| summary.max), Some(3.0));
    }
}
