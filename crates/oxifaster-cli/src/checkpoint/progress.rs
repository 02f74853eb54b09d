//! A bar on standard error, for people at a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use oxifaster::checkpoint::{RecoveryPhase, RecoveryProgress, VerifyProgress};

/// Shows how far the verification or recovery of one checkpoint has come.
#[derive(Debug)]
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// A bar that is shown if `wanted` and standard error is a terminal, and is gone when it is dropped.
    pub(super) fn new(doing: &str, wanted: bool) -> Self {
        let target = if wanted { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let template = format!(
            "{doing} {{wide_bar:.cyan/blue}} {{percent:>3}}%  {{binary_bytes_per_sec:>12}}  {{eta:>4}} left  {{msg}}"
        );
        // The template is fixed and sound; a bar without a style is still a bar.
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    pub(super) fn update(&self, progress: VerifyProgress<'_>) {
        self.0.set_length(progress.total);
        self.0.set_position(progress.done);
        self.0.set_message(progress.place.to_owned());
    }

    pub(super) fn recover(&self, progress: RecoveryProgress) {
        self.0.set_length(progress.bytes_total);
        self.0.set_position(progress.bytes_done);
        self.0.set_message(match progress.phase {
            RecoveryPhase::Suffix => "looking for the end of the log",
            RecoveryPhase::IndexImage => "image of the index",
            RecoveryPhase::Replay => "replaying the log",
            RecoveryPhase::Load => "loading the log",
            _ => "",
        });
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
