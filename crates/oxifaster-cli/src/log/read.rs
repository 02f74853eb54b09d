//! What looks at a log.

use super::options::{ScanOptions, TailOptions, VerifyOptions, open_to_read};
use crate::failure::Failure;
use crate::output::{print_json, print_text};
use oxifaster::address::Address;
use oxifaster::log::FasterLog;
use serde::Serialize;
use std::collections::VecDeque;
use std::io::{BufWriter, ErrorKind, Write};
use std::time::{Duration, Instant};

/// How often a log of another process is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Lines of standard output, until nobody reads them any more.
struct Lines(BufWriter<std::io::StdoutLock<'static>>);

impl Lines {
    fn new() -> Self {
        Self(BufWriter::with_capacity(1 << 16, std::io::stdout().lock()))
    }

    /// False if nobody reads any more.
    fn print(&mut self, address: Option<Address>, data: &[u8]) -> Result<bool, Failure> {
        let mut write = || {
            if let Some(address) = address {
                write!(self.0, "{address}\t")?;
            }
            self.0.write_all(data)?;
            self.0.write_all(b"\n")
        };
        is_read(write())
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        is_read(self.0.flush())
    }
}

fn is_read(result: std::io::Result<()>) -> Result<bool, Failure> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(source) => Err(Failure::System { what: "writing entries".to_owned(), source }),
    }
}

/// Prints entries, oldest first.
pub(super) fn scan(options: &ScanOptions) -> Result<u8, Failure> {
    let log = open_to_read(&options.directory)?;
    let mut lines = Lines::new();
    let from = options.from.unwrap_or(Address::INVALID);
    for (number, entry) in (0u64..).zip(log.scan(from..)) {
        let (address, data) = entry?;
        let enough = options.limit.is_some_and(|limit| number >= limit);
        if enough || !lines.print(options.addresses.then_some(address), &data)? {
            break;
        }
    }
    lines.flush()?;
    Ok(0)
}

/// Prints the last entries, and follows.
pub(super) fn tail(options: &TailOptions) -> Result<u8, Failure> {
    let log = open_to_read(&options.directory)?;
    let (mut lines, mut last) = (Lines::new(), VecDeque::new());
    let mut scan = log.scan(..);
    for entry in scan.by_ref() {
        last.push_back(entry?.1);
        if last.len() > options.lines {
            last.pop_front();
        }
    }
    for data in last {
        if !lines.print(None, &data)? {
            return Ok(0);
        }
    }
    let mut is_wanted = lines.flush()?;
    while options.follow && is_wanted {
        std::thread::sleep(LOOK);
        log.refresh()?;
        for entry in scan.by_ref() {
            if !lines.print(None, &entry?.1)? {
                return Ok(0);
            }
        }
        is_wanted = lines.flush()?;
    }
    Ok(0)
}

/// What `verify` found.
#[derive(Debug, Serialize)]
struct Report {
    directory: String,
    is_whole: bool,
    entries: u64,
    data_bytes: u64,
    begin: String,
    end: String,
    is_complete: bool,
    seconds: f64,
    damage: Option<String>,
}

/// Reads everything.
pub(super) fn verify(options: &VerifyOptions) -> Result<u8, Failure> {
    let started = Instant::now();
    let log = open_to_read(&options.directory)?;
    let report = look_through(&log, options, started);
    if options.json {
        print_json(&report)?;
    } else {
        let Report { entries, data_bytes, begin, end, seconds, .. } = &report;
        let verdict =
            report.damage.as_deref().map_or("the log is whole".to_owned(), |damage| format!("DAMAGED: {damage}"));
        print_text(&format!(
            "{verdict}\n{entries} entries of {data_bytes} bytes between {begin} and {end}, read in {seconds:.2} s\n"
        ))?;
    }
    Ok(u8::from(!report.is_whole))
}

fn look_through(log: &FasterLog, options: &VerifyOptions, started: Instant) -> Report {
    let (mut entries, mut data_bytes, mut damage) = (0, 0, None);
    for entry in log.scan(..) {
        match entry {
            Ok((_, data)) => {
                entries += 1;
                data_bytes += data.len() as u64;
            }
            Err(error) => damage = Some(error.to_string()),
        }
    }
    Report {
        directory: options.directory.display().to_string(),
        is_whole: damage.is_none(),
        entries,
        data_bytes,
        begin: log.begin().to_string(),
        end: log.committed().to_string(),
        is_complete: log.is_complete(),
        seconds: started.elapsed().as_secs_f64(),
        damage,
    }
}
