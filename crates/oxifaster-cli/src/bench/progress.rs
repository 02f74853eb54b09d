//! Progress bars on standard error, for people at a terminal.

use super::stage::Length;
use crate::units::rounded;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// Shows the progress of one stage after the other.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
}

impl Progress {
    /// Bars are shown if `wanted` and standard error is a terminal.
    pub(crate) fn new(wanted: bool) -> Self {
        Self { shown: wanted }
    }

    pub(crate) fn stage(&self, label: &str, length: Length) -> Bar {
        let total = match length {
            Length::Items(items) => items,
            Length::Time(time) => time.as_millis() as u64,
        };
        let target = if self.shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        style(&bar, "{prefix:<10} {wide_bar:.cyan/blue} {percent:>3}%  {msg}  {eta:>4} left");
        bar.set_prefix(label.to_owned());
        Bar { bar, length }
    }
}

fn style(bar: &ProgressBar, template: &str) {
    // The templates are fixed and sound; a bar without a style is still a bar.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
}

/// The bar of a stage; what it showed last stays on the screen.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
    length: Length,
}

impl Bar {
    /// `count` items are done after `elapsed`.
    pub(crate) fn update(&self, count: u64, elapsed: Duration) {
        let rate = count as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
        self.bar.set_position(match self.length {
            Length::Items(items) => count.min(items),
            Length::Time(time) => elapsed.min(time).as_millis() as u64,
        });
        self.bar.set_message(format!("{:>6}/s", rounded(rate)));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        style(&self.bar, "{prefix:<10} {wide_bar:.cyan/blue} {percent:>3}%  {msg}  in {elapsed}");
        self.bar.abandon();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_follow_items_or_time_and_never_pass_their_end() {
        let progress = Progress::new(false);
        let items = progress.stage("load", Length::Items(100));
        items.update(250, Duration::from_secs(1));
        assert_eq!(items.bar.position(), 100);
        let time = progress.stage("A zipfian", Length::Time(Duration::from_secs(2)));
        time.update(1_000, Duration::from_millis(500));
        assert_eq!(time.bar.position(), 500);
        assert_eq!(time.bar.message(), "2.00 k/s");
    }
}
