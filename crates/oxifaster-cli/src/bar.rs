//! A bar on standard error for work that is measured in bytes, or in records if nobody knows how many bytes there will be.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows how far the work has come, if standard error is a terminal; gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar for `total` bytes, or one without an end; shown if `wanted`.
    pub(crate) fn of_bytes(doing: &str, total: Option<u64>, wanted: bool) -> Self {
        let how_far = match total {
            Some(_) => "{wide_bar:.cyan/blue} {percent:>3}%  {binary_bytes_per_sec:>12}  {eta:>4} left",
            None => "{spinner} {binary_bytes}  {binary_bytes_per_sec}",
        };
        Self::new(&format!("{doing} {how_far}  {{msg}}"), total, wanted)
    }

    /// A bar for about `total` records.
    pub(crate) fn of_records(doing: &str, total: u64, wanted: bool) -> Self {
        let how_far = "{wide_bar:.cyan/blue} {human_pos} records  {per_sec:>12}  {eta:>4} left";
        Self::new(&format!("{doing} {how_far}"), Some(total), wanted)
    }

    fn new(template: &str, total: Option<u64>, wanted: bool) -> Self {
        let target = if wanted { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(total, target);
        // The templates are fixed and sound; a bar without a style is still a bar.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    /// So much is done.
    pub(crate) fn update(&self, done: u64) {
        self.0.set_position(self.0.length().map_or(done, |total| done.min(total)));
    }

    /// The same, with a word about it.
    pub(crate) fn update_with(&self, done: u64, message: String) {
        self.update(done);
        self.0.set_message(message);
    }

    /// Prints a line above the bar.
    pub(crate) fn say(&self, line: &str) {
        self.0.suspend(|| eprintln!("{line}"));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_follows_what_is_done_and_never_passes_its_end() {
        let bar = Bar::of_bytes("importing", Some(100), false);
        bar.update_with(250, "7 records".to_owned());
        assert_eq!((bar.0.position(), bar.0.message()), (100, "7 records".to_owned()));
        let endless = Bar::of_bytes("importing", None, false);
        endless.update(250);
        assert_eq!(endless.0.position(), 250);
        let records = Bar::of_records("exporting", 10, false);
        records.update(11);
        assert_eq!(records.0.position(), 10);
    }
}
