//! What `oxifaster inspect` found, as an SVG picture.

use super::inspect::Document;
use crate::units::{grouped, size};
use std::fmt::{self, Write};

const WIDTH: f64 = 720.0;
const MARGIN: f64 = 24.0;
const ROW: f64 = 22.0;
const LABEL: f64 = 190.0;
const COLORS: [&str; 5] = ["#2f855a", "#c05621", "#6b46c1", "#a0aec0", "#e2e8f0"];

/// The picture: the log by its parts, record sizes, entries of buckets.
pub(super) fn of(document: &Document) -> String {
    let sizes: Vec<(String, u64, String)> =
        document.record_sizes.iter().map(|(size, count)| (format!("{size} B"), *count, grouped(*count))).collect();
    let buckets = document.index.buckets_by_entries.iter();
    let buckets: Vec<(String, u64, String)> =
        buckets.map(|(entries, count)| (format!("{entries} entries"), *count, grouped(*count))).collect();
    let parts = document.log.parts();
    let log: Vec<(String, u64, String)> =
        parts.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes, size(*bytes))).collect();
    let rows = log.len() + sizes.len() + buckets.len();
    let height = MARGIN * 2.0 + ROW * (rows as f64 + 3.0 * 2.0);
    let mut picture = String::new();
    // Writing to a string cannot fail.
    let _ =
        draw(&mut picture, height, &[("the log", &log), ("record sizes", &sizes), ("buckets of the index", &buckets)]);
    picture
}

type Rows<'r> = (&'static str, &'r [(String, u64, String)]);

fn draw(picture: &mut String, height: f64, charts: &[Rows<'_>]) -> fmt::Result {
    writeln!(
        picture,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"13\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    )?;
    let mut y = MARGIN;
    for (title, rows) in charts {
        y += ROW;
        writeln!(picture, "<text x=\"{MARGIN}\" y=\"{y}\" font-weight=\"bold\">{title}</text>")?;
        let most = rows.iter().map(|(_, count, _)| *count).max().unwrap_or(0).max(1);
        for (place, (label, count, text)) in rows.iter().enumerate() {
            y += ROW;
            let length = (WIDTH - LABEL - MARGIN * 5.0) * *count as f64 / most as f64;
            let (bar_y, color) = (y - 13.0, COLORS[place % COLORS.len()]);
            let text_x = LABEL + length + 6.0;
            writeln!(
                picture,
                "<text x=\"{MARGIN}\" y=\"{y}\">{label}</text><rect x=\"{LABEL}\" y=\"{bar_y}\" width=\"{length:.1}\" \
                 height=\"16\" fill=\"{color}\"/><text x=\"{text_x:.1}\" y=\"{y}\">{text}</text>"
            )?;
        }
        y += ROW;
    }
    writeln!(picture, "</svg>")
}
