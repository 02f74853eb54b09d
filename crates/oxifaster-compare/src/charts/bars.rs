//! Bars with whiskers from the least to the most.

use super::axis::{Axis, label};
use super::color;
use super::svg::{Anchor, Picture};
use crate::summary::Summary;

/// Bars that belong together.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) bars: Vec<Bar>,
}

/// One contestant.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) figures: Summary,
}

const WIDTH: f64 = 900.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 60.0;
const BAR: f64 = 16.0;
const GAP: f64 = 34.0;

/// Horizontal bars, groups under each other, all on one scale.
pub(super) fn draw(title: &str, groups: &[Group]) -> String {
    let rows: usize = groups.iter().map(|group| group.bars.len()).sum();
    let height = TOP + rows as f64 * (BAR + 4.0) + groups.len() as f64 * GAP + 20.0;
    let most = groups.iter().flat_map(|group| &group.bars).map(|bar| bar.figures.max).fold(0.0, f64::max);
    let axis = Axis { low: 0.0, high: most, start: LEFT, end: WIDTH - RIGHT, is_log: false };
    let mut picture = Picture::new(WIDTH, height, title);
    for tick in axis.ticks() {
        let x = axis.place(tick);
        picture.line((x, TOP - 14.0), (x, height - 16.0), "#ddd");
        picture.text(x, TOP - 18.0, &label(tick), Anchor::Middle, 11.0);
    }
    let mut y = TOP;
    for group in groups {
        picture.text(16.0, y + 14.0, &format!("{} (operations per second)", group.name), Anchor::Start, 13.0);
        y += GAP - 12.0;
        for bar in &group.bars {
            let Summary { min, median, max } = bar.figures;
            let (middle, end) = (y + BAR / 2.0, axis.place(median));
            picture.text(LEFT - 8.0, middle + 4.0, &bar.name, Anchor::End, 12.0);
            picture.rectangle(LEFT, y, end - LEFT, BAR, color::of(&bar.name));
            picture.line((axis.place(min), middle), (axis.place(max), middle), "#222");
            picture.text(axis.place(max) + 5.0, middle + 4.0, &label(median), Anchor::Start, 11.0);
            y += BAR + 4.0;
        }
        y += 12.0;
    }
    picture.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_is_drawn_with_its_name_and_figure() {
        let figures = Summary { min: 1e6, median: 2e6, max: 3e6 };
        let bars = vec![Bar { name: "a<b".to_string(), figures }];
        let picture = draw("title", &[Group { name: "read".to_string(), bars }]);
        assert!(picture.contains(">a&lt;b</text>") && picture.contains(">2M</text>") && picture.ends_with("</svg>\n"));
    }
}
