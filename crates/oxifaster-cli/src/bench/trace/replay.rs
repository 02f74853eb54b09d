//! The threads of a replay: one reads, the others play.

use super::Cache;
use super::TracePlan;
use super::book::Book;
use super::line::{Request, parse};
use super::model::Model;
use super::player::Player;
use super::source::Source;
use crate::bar::Bar;
use crate::bench::memory::PeakMeter;
use crate::bench::options::Verify;
use crate::bench::signal::Interrupt;
use crate::failure::Failure;
use crate::units::grouped;
use oxifaster::clock::VirtualClock;
use oxifaster::utility::KeyHash;
use serde::Serialize;
use std::convert::Infallible;
use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

/// Requests that are handed to a player together.
const TOGETHER: usize = 256;
/// Of these, how many may wait for each player.
const WAITING: usize = 4;
/// Bytes of the longest line.
const LINE_MAX: u64 = 1 << 17;
/// One key in so many is followed, unless all are.
const FOLLOWED: u64 = 16;
/// Bytes of what is known of the keys that a thread follows.
const FOLLOWED_BYTES: usize = 2 << 20;
/// Lines after which progress, memory and Ctrl-C are looked at.
const LOOK_EVERY: u64 = 4096;

/// A line that is no request.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Malformed {
    pub(super) line: u64,
    pub(super) what: String,
}

/// What was replayed.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) name: String,
    pub(super) book: Book,
    pub(super) elapsed: Duration,
    pub(super) lines: u64,
    pub(super) malformed: u64,
    pub(super) first_malformed: Option<Malformed>,
    /// Seconds of the trace, by its own clock.
    pub(super) span: u64,
    pub(super) peak: Option<u64>,
}

/// Reads the trace and has every request played, those for the same key by the same thread.
pub(super) fn replay(
    store: &Cache,
    clock: &VirtualClock,
    plan: &TracePlan,
    source: Source,
    interrupt: &Interrupt,
) -> Result<Replayed, Failure> {
    let Source { reader, name, length } = source;
    let bar = Bar::of_bytes("replaying", length, !plan.json);
    let began = Instant::now();
    let (read, books) = std::thread::scope(|scope| {
        let mut queues = Vec::new();
        let players: Vec<_> = (0..plan.threads)
            .map(|_| {
                let (queue, requests) = sync_channel(WAITING);
                queues.push(Queue { queue, batch: Vec::with_capacity(TOGETHER) });
                let model = match plan.verify {
                    Verify::Every => Model::new(1, usize::MAX),
                    Verify::Sample => Model::new(FOLLOWED, FOLLOWED_BYTES),
                };
                let player = Player::new(store, model);
                scope.spawn(move || play(player, &requests))
            })
            .collect();
        let mut trace = Trace::new(reader, queues, clock, bar);
        let read = trace.read(interrupt).map(|()| trace.end());
        drop(trace);
        let books: Vec<_> = players.into_iter().map(|player| player.join()).collect();
        (read, books)
    });
    let elapsed = began.elapsed();
    let mut book = Book::default();
    for played in books {
        book.add(played.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    let Ended { lines, malformed, first_malformed, span, peak } =
        read.map_err(|source| Failure::System { what: format!("reading the trace {name}"), source })?;
    Ok(Replayed { name, book, elapsed, lines, malformed, first_malformed, span, peak })
}

fn play(mut player: Player, parts: &Receiver<Part>) -> oxifaster::Result<Book> {
    for part in parts {
        match part {
            Part::Requests(requests) => requests.into_iter().try_for_each(|request| player.play(request))?,
            Part::Answered(told) => drop(told),
        }
    }
    Ok(player.into_book())
}

/// What is handed to a player.
enum Part {
    Requests(Vec<Request>),
    /// It lets go of this when all before is answered.
    Answered(Sender<Infallible>),
}

/// Requests on their way to a player.
struct Queue {
    queue: SyncSender<Part>,
    batch: Vec<Request>,
}

impl Queue {
    /// False if the player is gone, and will say why.
    fn push(&mut self, request: Request) -> bool {
        self.batch.push(request);
        self.batch.len() < TOGETHER || self.flush()
    }

    fn flush(&mut self) -> bool {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(TOGETHER));
        batch.is_empty() || self.queue.send(Part::Requests(batch)).is_ok()
    }
}

/// A trace that is being read.
struct Trace<'c> {
    reader: Box<dyn BufRead>,
    queues: Vec<Queue>,
    clock: &'c VirtualClock,
    /// Whether there may be a value that ends.
    may_end: bool,
    bar: Bar,
    peak: PeakMeter,
    lines: u64,
    bytes: u64,
    malformed: u64,
    first_malformed: Option<Malformed>,
    times: Option<(u64, u64)>,
}

/// What is known of it at its end.
struct Ended {
    lines: u64,
    malformed: u64,
    first_malformed: Option<Malformed>,
    span: u64,
    peak: Option<u64>,
}

impl<'c> Trace<'c> {
    fn new(reader: Box<dyn BufRead>, queues: Vec<Queue>, clock: &'c VirtualClock, bar: Bar) -> Self {
        Self {
            reader,
            queues,
            clock,
            may_end: false,
            bar,
            peak: PeakMeter::default(),
            lines: 0,
            bytes: 0,
            malformed: 0,
            first_malformed: None,
            times: None,
        }
    }

    /// To its end, or until the user has had enough, or a player is gone.
    fn read(&mut self, interrupt: &Interrupt) -> io::Result<()> {
        let mut line = Vec::new();
        while self.next_line(&mut line)? {
            self.lines += 1;
            if self.lines.is_multiple_of(LOOK_EVERY) {
                self.peak.poll();
                self.bar.update_with(self.bytes, format!("{} requests", grouped(self.lines)));
                if interrupt.is_raised() {
                    break;
                }
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            match parse(text, self.lines) {
                Ok(mut request) => {
                    let (first, last) = self.times.unwrap_or((request.time, request.time));
                    if self.times.is_none() || request.time > last {
                        self.move_on_to(request.time);
                    }
                    self.times = Some((first.min(request.time), last.max(request.time)));
                    // A line of an earlier time comes late: time does not go back.
                    request.time = request.time.max(last);
                    self.may_end |= request.verb.brings_value() && request.ttl > 0;
                    if !self.hand_on(request) {
                        return Ok(());
                    }
                }
                Err(what) => {
                    self.malformed += 1;
                    self.first_malformed.get_or_insert(Malformed { line: self.lines, what });
                }
            }
        }
        for queue in &mut self.queues {
            queue.flush();
        }
        Ok(())
    }

    /// False at the end. Of a line that is too long only the beginning is kept, which is no request.
    fn next_line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        let mut rest = Vec::new();
        let mut into = &mut *line;
        loop {
            into.clear();
            let read = self.reader.by_ref().take(LINE_MAX).read_until(b'\n', into)? as u64;
            self.bytes += read;
            if read < LINE_MAX || into.last() == Some(&b'\n') {
                return Ok(!line.is_empty());
            }
            into = &mut rest;
        }
    }

    /// The clock comes to this second when nothing before is left to be answered: no value ends too early for anybody.
    fn move_on_to(&mut self, second: u64) {
        if self.may_end {
            let (told, answered) = channel();
            for queue in &mut self.queues {
                // A player that is gone has let go of everything.
                let _ = queue.flush() && queue.queue.send(Part::Answered(told.clone())).is_ok();
            }
            drop(told);
            let _ = answered.recv(); // nobody says anything: it ends when all have let go
        }
        self.clock.set(second.saturating_mul(1000));
    }

    fn hand_on(&mut self, request: Request) -> bool {
        // Which keys are followed is decided by other bits.
        let player = (KeyHash::of_bytes(&request.key).bucket(u64::MAX) >> 32) as usize % self.queues.len();
        self.queues[player].push(request)
    }

    fn end(&mut self) -> Ended {
        self.peak.poll();
        Ended {
            lines: self.lines,
            malformed: self.malformed,
            first_malformed: self.first_malformed.take(),
            span: self.times.map_or(0, |(first, last)| last - first),
            peak: self.peak.peak(),
        }
    }
}
