//! What changes a log.

use super::options::{AppendOptions, TruncateOptions, open};
use crate::failure::Failure;
use crate::output::print_text;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use oxifaster::log::FasterLog;
use std::io::BufRead;

/// Lines between two looks at the bar.
const LINES_PER_LOOK: u64 = 4096;

/// Appends every line of the standard input.
pub(super) fn execute(options: &AppendOptions) -> Result<u8, Failure> {
    let log = open(&options.directory)?;
    let mut lines = 0;
    match append_lines(&log, options.each, &mut lines) {
        Ok(()) => {
            let until = log.commit()?.until;
            print_text(&format!("{lines} entries appended, durable up to {until}\n"))?;
            Ok(0)
        }
        Err(failure) => {
            // What was read before is kept as far as the log can keep it.
            let durable = log.commit().is_ok();
            eprintln!("{lines} lines were appended before{}", if durable { ", and are durable" } else { "" });
            Err(failure)
        }
    }
}

fn append_lines(log: &FasterLog, each: bool, lines: &mut u64) -> Result<(), Failure> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} entries  {per_sec}") {
        bar.set_style(style);
    }
    let (mut input, mut line, mut appender) = (std::io::stdin().lock(), Vec::new(), log.appender());
    loop {
        line.clear();
        let read = input.read_until(b'\n', &mut line);
        let read = read.map_err(|source| Failure::System { what: "reading the standard input".to_owned(), source })?;
        if read == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        let entry = line.strip_suffix(b"\n").unwrap_or(&line);
        if each {
            log.append_and_wait(entry)?;
        } else {
            appender.append(entry)?;
        }
        *lines += 1;
        if lines.is_multiple_of(LINES_PER_LOOK) {
            bar.set_position(*lines);
        }
    }
}

/// Gives up entries at one end.
pub(super) fn truncate(options: &TruncateOptions) -> Result<u8, Failure> {
    // Not a new one.
    drop(super::options::open_to_read(&options.directory)?);
    let log = open(&options.directory)?;
    if let Some(before) = options.before {
        log.truncate_before(before)?;
    }
    if let Some(from) = options.from {
        log.truncate_suffix(from)?;
    }
    print_text(&format!("the log begins at {} and is durable up to {}\n", log.begin(), log.committed()))?;
    Ok(0)
}
