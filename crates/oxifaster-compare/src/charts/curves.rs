//! Curves over a common axis.

use super::axis::{Axis, label};
use super::color;
use super::svg::{Anchor, Picture};

/// One contestant.
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// What the picture is of.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) across: &'a str,
    pub(super) up: &'a str,
    /// Whether the axis across has equal space for equal ratios.
    pub(super) is_log: bool,
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 70.0;
const LEGEND: f64 = 170.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 50.0;

pub(super) fn draw(chart: &Chart<'_>, curves: &[Curve]) -> String {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let least = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let most = points().map(|point| point.0).fold(0.0, f64::max);
    let highest = points().map(|point| point.1).fold(0.0, f64::max);
    let across = Axis { low: least, high: most, start: LEFT, end: WIDTH - LEGEND, is_log: chart.is_log };
    let up = Axis { low: 0.0, high: highest, start: HEIGHT - BOTTOM, end: TOP, is_log: false };
    let mut picture = Picture::new(WIDTH, HEIGHT, chart.title);
    for tick in across.ticks() {
        let x = across.place(tick);
        picture.line((x, TOP), (x, HEIGHT - BOTTOM), "#ddd");
        picture.text(x, HEIGHT - BOTTOM + 16.0, &label(tick), Anchor::Middle, 11.0);
    }
    for tick in up.ticks() {
        let y = up.place(tick);
        picture.line((LEFT, y), (WIDTH - LEGEND, y), "#ddd");
        picture.text(LEFT - 6.0, y + 4.0, &label(tick), Anchor::End, 11.0);
    }
    picture.text((LEFT + WIDTH - LEGEND) / 2.0, HEIGHT - 12.0, chart.across, Anchor::Middle, 12.0);
    picture.text(LEFT, TOP - 10.0, chart.up, Anchor::Start, 12.0);
    for (row, curve) in curves.iter().enumerate() {
        let places: Vec<(f64, f64)> = curve.points.iter().map(|(x, y)| (across.place(*x), up.place(*y))).collect();
        picture.path(&places, color::of(&curve.name));
        let y = TOP + 10.0 + row as f64 * 18.0;
        picture.rectangle(WIDTH - LEGEND + 14.0, y - 9.0, 14.0, 10.0, color::of(&curve.name));
        picture.text(WIDTH - LEGEND + 34.0, y, &curve.name, Anchor::Start, 12.0);
    }
    picture.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_is_drawn_and_named() {
        let chart = Chart { title: "t", across: "x", up: "y", is_log: true };
        let curve = |name: &str| Curve { name: name.to_string(), points: vec![(10.0, 0.1), (1_000.0, 1.0)] };
        let picture = draw(&chart, &[curve("redb single"), curve("dashmap")]);
        assert_eq!(picture.matches("<polyline").count(), 2);
        assert!(picture.contains(">redb single</text>") && picture.contains(">dashmap</text>"));
    }
}
