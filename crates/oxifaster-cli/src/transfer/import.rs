//! `oxifaster import`.

use super::cursor::{Cursor, CursorFile};
use super::entry::{Entry, Problem, Told};
use super::fields::{Columns, Parser};
use super::lines;
use super::options::{Format, ImportOptions, OnError};
use super::split::{Found, Place, Splitter};
use crate::bar::Bar;
use crate::bench::{INTERRUPTED, Interrupt};
use crate::failure::Failure;
use crate::output::{print_json, print_text};
use crate::plain::{AnyStore, Missing, Shape, open};
use crate::units::grouped;
use oxifaster::ErrorKind;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::time::Instant;

/// Entries that are put in one call.
const BATCH: usize = 256;
/// Bytes of them, more or less.
const BATCH_BYTES: usize = 1 << 20;
/// Problems that are told; the others are only counted.
const TOLD: u64 = 10;
const BUFFER: usize = 1 << 18;

pub(super) fn execute(options: &ImportOptions) -> Result<u8, Failure> {
    execute_with(options, &Interrupt::listen()?)
}

/// The same, until it is interrupted.
pub(super) fn execute_with(options: &ImportOptions, interrupt: &Interrupt) -> Result<u8, Failure> {
    options.check()?;
    let (input, name, length) = input(options)?;
    let shape = Shape { key: options.key_size, value: options.value_size };
    let store = open(&options.directory, options.memory, Missing::Make(shape))?;
    let began = Instant::now();
    let bar = Bar::of_bytes("importing", length, !options.json);
    let mut import = Import::new(options, &*store, input, name, bar);
    let gone_on_at = import.go_on()?;
    let end = import.run(interrupt)?;
    let outcome = Outcome {
        schema: 1,
        imported: import.imported,
        skipped: import.skipped,
        gone_on_at_line: gone_on_at,
        stopped_at_line: end.stopped_at(),
        seconds: began.elapsed().as_secs_f64(),
    };
    drop(import);
    if options.json {
        print_json(&outcome)?;
    } else {
        print_text(&outcome.text())?;
    }
    match end {
        End::Problem(failure, _) => Err(failure),
        End::Interrupted(_) => Ok(INTERRUPTED),
        End::Whole => Ok(u8::from(outcome.skipped > 0)),
    }
}

type Input = (Box<dyn BufRead>, String, Option<u64>);

/// What is to be imported, how it is called, and its length if that is known.
fn input(options: &ImportOptions) -> Result<Input, Failure> {
    let Some(path) = options.named() else {
        return Ok((Box::new(BufReader::with_capacity(BUFFER, io::stdin())), "standard input".to_owned(), None));
    };
    let file = File::open(path).map_err(|error| Failure::path("opening", path, error))?;
    let metadata = file.metadata().map_err(|error| Failure::path("opening", path, error))?;
    if metadata.is_dir() {
        return Err(Failure::usage(format!("{} is a directory", path.display()), "name the file to import"));
    }
    let length = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(BufReader::with_capacity(BUFFER, file)), path.display().to_string(), length))
}

/// What came of it: the schema of `--json`.
#[derive(Debug, Serialize)]
struct Outcome {
    schema: u32,
    /// Records that were imported, those before an interruption included.
    imported: u64,
    skipped: u64,
    gone_on_at_line: Option<u64>,
    stopped_at_line: Option<u64>,
    seconds: f64,
}

impl Outcome {
    fn text(&self) -> String {
        let mut text = format!("imported {} records in {:.1} s", grouped(self.imported), self.seconds);
        if let Some(line) = self.gone_on_at_line {
            text += &format!(", gone on at line {line}");
        }
        if self.skipped > 0 {
            text += &format!(", SKIPPED {}", grouped(self.skipped));
        }
        if let Some(line) = self.stopped_at_line {
            text += &format!(", stopped at line {line}: start it again to go on");
        }
        text + "\n"
    }
}

/// How an import ended, if it could say so.
enum End {
    Whole,
    Interrupted(u64),
    Problem(Failure, u64),
}

impl End {
    fn stopped_at(&self) -> Option<u64> {
        match self {
            Self::Whole => None,
            Self::Interrupted(line) | Self::Problem(_, line) => Some(*line),
        }
    }
}

/// A record that was read and is to be put.
struct Read {
    began: Place,
    ended: Place,
}

struct Import<'i> {
    options: &'i ImportOptions,
    store: &'i dyn AnyStore,
    shape: Shape,
    format: Format,
    name: String,
    splitter: Splitter<Box<dyn BufRead>>,
    parser: Parser,
    columns: Option<Columns>,
    cursor: CursorFile,
    bar: Bar,
    batch: Vec<(Vec<u8>, Vec<u8>)>,
    read: Vec<Read>,
    batch_bytes: usize,
    /// Everything before is in the store.
    reached: Place,
    since_commit: u64,
    imported: u64,
    skipped: u64,
}

impl<'i> Import<'i> {
    fn new(
        options: &'i ImportOptions,
        store: &'i dyn AnyStore,
        input: Box<dyn BufRead>,
        name: String,
        bar: Bar,
    ) -> Self {
        let format = Format::chosen(options.format, options.named());
        Self {
            options,
            store,
            shape: store.shape(),
            format,
            name,
            splitter: Splitter::new(input, format),
            parser: Parser::new(),
            columns: None,
            cursor: CursorFile::new(&options.directory),
            bar,
            batch: Vec::new(),
            read: Vec::new(),
            batch_bytes: 0,
            reached: Place::BEGIN,
            since_commit: 0,
            imported: 0,
            skipped: 0,
        }
    }

    /// Reads the names of the columns, and goes to where an import of this input was interrupted; says at which line that is.
    fn go_on(&mut self) -> Result<Option<u64>, Failure> {
        if self.options.restart {
            self.cursor.remove()?;
        }
        let cursor = self.cursor.load()?;
        self.read_header()?;
        let Some(cursor) = cursor else { return Ok(None) };
        let place = cursor.place();
        let is_same = cursor.is_of(self.format) && self.splitter.go_to(place)?;
        if !is_same {
            let what = format!(
                "an import of {} was interrupted at line {}, and {} does not begin with the same bytes",
                cursor.input, place.line, self.name
            );
            return Err(Failure::usage(what, "import that again to go on, or give --restart to import this one"));
        }
        (self.imported, self.skipped, self.reached) = (cursor.imported, cursor.skipped, place);
        Ok(Some(place.line))
    }

    fn read_header(&mut self) -> Result<(), Failure> {
        if self.format != Format::Csv {
            return Ok(());
        }
        match self.splitter.advance()? {
            Found::Record => {
                let columns = self.parser.header(self.splitter.record());
                self.columns =
                    Some(columns.map_err(|problem| self.failure(self.splitter.began().line, &problem, false))?);
            }
            Found::End => {}
            other => return Err(self.failure(1, &self.misshapen(&other), false)),
        }
        self.reached = self.splitter.place();
        Ok(())
    }

    fn run(&mut self, interrupt: &Interrupt) -> Result<End, Failure> {
        let end = loop {
            if interrupt.is_raised() {
                break None;
            }
            let (problem, may_skip) = match self.splitter.advance() {
                Err(failure) => break self.flush()?.or(Some(End::Problem(failure, self.reached.line))),
                Ok(Found::End) => break self.flush()?.or(Some(End::Whole)),
                Ok(Found::Record) => match self.parse() {
                    Ok(entry) => match self.take(entry)? {
                        None => continue,
                        end => break end,
                    },
                    Err(problem) => (problem, true),
                },
                Ok(other) => (self.misshapen(&other), other != Found::TooLong),
            };
            // What is in front of it comes first.
            let began = self.splitter.began();
            if let Some(end) = self.flush()?.or_else(|| self.refuse(began, &problem, may_skip)) {
                break Some(end);
            }
            self.reached = self.splitter.place();
        };
        match end {
            Some(End::Whole) => {
                self.store.sync()?;
                self.cursor.remove()?;
                Ok(End::Whole)
            }
            Some(end) => self.commit().map(|()| end),
            None => match self.flush()? {
                Some(end) => self.commit().map(|()| end),
                None => self.commit().map(|()| End::Interrupted(self.reached.line)),
            },
        }
    }

    fn parse(&mut self) -> Result<Entry, Problem> {
        let record = self.splitter.record();
        match &self.columns {
            Some(columns) => self.parser.read(record, columns, self.shape),
            None => lines::read(record, self.shape),
        }
    }

    /// What is wrong with a record that was not even found whole.
    fn misshapen(&self, found: &Found) -> Problem {
        let (what, next) = match found {
            Found::TooLong => ("the record is too long", "end every record with a line feed"),
            _ => ("the input ends within quotes", "see whether it was cut off, and close the quotes"),
        };
        Problem::at(self.splitter.record(), 0, what, next)
    }

    fn take(&mut self, entry: Entry) -> Result<Option<End>, Failure> {
        self.batch_bytes += entry.key.len() + entry.value.len();
        self.batch.push((entry.key, entry.value));
        self.read.push(Read { began: self.splitter.began(), ended: self.splitter.place() });
        if self.batch.len() < BATCH && self.batch_bytes < BATCH_BYTES {
            return Ok(None);
        }
        self.flush()
    }

    /// Puts what was read. If one of the records has no place in the store and the user wants it so, that is the end.
    fn flush(&mut self) -> Result<Option<End>, Failure> {
        let (batch, read) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.read));
        self.batch_bytes = 0;
        if batch.is_empty() {
            return Ok(None);
        }
        match self.store.put_all(&batch) {
            Ok(()) => {
                self.done(batch.len() as u64);
                self.reached = read.last().map_or(self.reached, |read| read.ended);
            }
            // Which one it was is not told: those before it are put again.
            Err(error) if error.kind() == ErrorKind::Limit => {
                for ((key, value), read) in batch.iter().zip(&read) {
                    if let Err(error) = self.store.put(key, value) {
                        if error.kind() != ErrorKind::Limit {
                            return Err(error.into());
                        }
                        let what = format!("the store does not take it: {error}");
                        let problem = Problem { lines: 0, column: 1, what, next: "leave it out, or make it smaller" };
                        if let Some(end) = self.refuse(read.began, &problem, true) {
                            return Ok(Some(end));
                        }
                    } else {
                        self.done(1);
                    }
                    self.reached = read.ended;
                }
            }
            Err(error) => return Err(error.into()),
        }
        self.bar.update_with(self.reached.offset, format!("{} records", grouped(self.imported)));
        if self.since_commit >= self.options.commit_every {
            self.commit()?;
        }
        Ok(None)
    }

    fn done(&mut self, records: u64) {
        self.imported += records;
        self.since_commit += records;
    }

    /// A record cannot be imported: stops in front of it or skips it.
    fn refuse(&mut self, began: Place, problem: &Problem, may_skip: bool) -> Option<End> {
        if self.options.on_error == OnError::Stop || !may_skip {
            self.reached = began;
            return Some(End::Problem(self.failure(began.line, problem, may_skip), began.line));
        }
        self.skipped += 1;
        if self.skipped <= TOLD {
            self.bar.say(&format!("skipped: {}: {}", self.name, Told { line: began.line, problem }));
        }
        None
    }

    fn failure(&self, line: u64, problem: &Problem, may_skip: bool) -> Failure {
        let (told, or) = (Told { line, problem }, if may_skip { ", or give --on-error skip" } else { "" });
        Failure::Input { what: format!("{}: {told}{or}", self.name) }
    }

    /// Makes everything durable that was put, and then says so in the cursor.
    fn commit(&mut self) -> Result<(), Failure> {
        self.store.sync()?;
        self.since_commit = 0;
        self.cursor.save(&Cursor::new(&self.name, self.format, self.reached, (self.imported, self.skipped)))
    }
}
