//! One stage of a benchmark: threads at work, watched until they are done, time is up, or the user has had enough.

use super::growth::Counter;
use super::memory::PeakMeter;
use super::progress::Progress;
use super::signal::Interrupt;
use super::tally::Tally;
use crate::failure::Failure;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How often progress, memory and Ctrl-C are looked at.
const TICK: Duration = Duration::from_millis(50);
/// Keys that a thread takes at a time where threads share a range of keys.
const CHUNK: u64 = 1_024;

/// When a stage is over.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    /// When its threads have worked through this many items.
    Items(u64),
    /// After this time.
    Time(Duration),
}

/// What the threads of a stage share with the one that watches them.
#[derive(Debug)]
pub(crate) struct Control {
    halt: AtomicBool,
    counts: Vec<Counter>,
    next_chunk: AtomicU64,
}

impl Control {
    fn new(threads: usize) -> Self {
        let counts = (0..threads).map(|_| Counter::default()).collect();
        Self { halt: AtomicBool::new(false), counts, next_chunk: AtomicU64::new(0) }
    }

    /// False once the stage is to end.
    pub(crate) fn goes_on(&self) -> bool {
        !self.halt.load(Ordering::Relaxed)
    }

    /// Tells how many items `thread` has worked on.
    pub(crate) fn publish(&self, thread: usize, count: u64) {
        self.counts[thread].set(count);
    }

    /// The next keys below `end` that no thread has taken, in order; `None` when there are none or the stage is to end.
    pub(crate) fn next_keys(&self, end: u64) -> Option<std::ops::Range<u64>> {
        let start = self.next_chunk.fetch_add(CHUNK, Ordering::Relaxed);
        (start < end && self.goes_on()).then(|| start..end.min(start + CHUNK))
    }

    fn total(&self) -> u64 {
        self.counts.iter().map(Counter::get).sum()
    }

    fn halt(&self) {
        self.halt.store(true, Ordering::Relaxed);
    }
}

/// A stage that is over.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) tally: Tally,
    pub(crate) elapsed: Duration,
}

/// Those who look on.
pub(crate) struct Watch<'a> {
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) peak: &'a mut PeakMeter,
    pub(crate) progress: &'a Progress,
}

/// Runs `body` on each of `threads` threads and adds up what they did. The first failure stops them all.
pub(crate) fn run<B>(
    label: &str,
    threads: usize,
    length: Length,
    watch: &mut Watch<'_>,
    body: B,
) -> Result<Done, Failure>
where
    B: Fn(usize, &Control) -> oxifaster::Result<Tally> + Sync,
{
    let control = Control::new(threads);
    let begin = Instant::now();
    let (results, elapsed) = std::thread::scope(|scope| {
        let (at_work, all_done) = channel();
        let (control, body) = (&control, &body);
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let at_work: Sender<()> = at_work.clone();
                scope.spawn(move || {
                    let result = body(thread, control);
                    if result.is_err() {
                        control.halt();
                    }
                    drop(at_work);
                    result
                })
            })
            .collect();
        drop(at_work);
        look_on(label, begin, length, control, &all_done, watch);
        let elapsed = begin.elapsed();
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        (results, elapsed)
    });
    let mut tally = Tally::default();
    for result in results {
        tally.add(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    Ok(Done { tally, elapsed })
}

/// Returns when all threads are done; tells them to end when time is up or the user wants to stop.
fn look_on(
    label: &str,
    begin: Instant,
    length: Length,
    control: &Control,
    all_done: &Receiver<()>,
    watch: &mut Watch<'_>,
) {
    let bar = watch.progress.stage(label, length);
    loop {
        let until_end = match length {
            Length::Items(_) => TICK,
            Length::Time(time) => time.saturating_sub(begin.elapsed()),
        };
        if until_end.is_zero() {
            control.halt();
        }
        // Past the end the threads only have to finish what is in flight.
        let wait = if until_end.is_zero() { TICK } else { until_end.min(TICK) };
        let ended = all_done.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
        watch.peak.poll();
        bar.update(control.total(), begin.elapsed());
        if ended {
            return;
        }
        if watch.interrupt.is_raised() {
            control.halt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oxifaster::{Error, ErrorKind};

    fn watched<B>(length: Length, interrupt: &Interrupt, body: B) -> Result<Done, Failure>
    where
        B: Fn(usize, &Control) -> oxifaster::Result<Tally> + Sync,
    {
        let (mut peak, progress) = (PeakMeter::default(), Progress::new(false));
        run("test", 2, length, &mut Watch { interrupt, peak: &mut peak, progress: &progress }, body)
    }

    fn until_halted(_: usize, control: &Control) -> oxifaster::Result<Tally> {
        while control.goes_on() {
            std::thread::yield_now();
        }
        let mut tally = Tally::default();
        tally.checked = 1;
        Ok(tally)
    }

    #[test]
    fn a_timed_stage_ends_with_its_time_and_adds_up_its_threads() {
        let done = watched(Length::Time(Duration::from_millis(20)), &Interrupt::default(), until_halted).unwrap();
        assert!(done.elapsed >= Duration::from_millis(20) && done.tally.checked == 2);
    }

    #[test]
    fn an_interrupt_ends_a_stage_early() {
        let interrupt = Interrupt::default();
        interrupt.raise();
        let done = watched(Length::Time(Duration::from_secs(3_600)), &interrupt, until_halted).unwrap();
        assert!(done.elapsed < Duration::from_secs(60));
    }

    #[test]
    fn one_failing_thread_stops_the_others() {
        let failure = watched(Length::Time(Duration::from_secs(3_600)), &Interrupt::default(), |thread, control| {
            if thread == 1 { Err(Error::new(ErrorKind::Io, "writing")) } else { until_halted(thread, control) }
        });
        assert!(matches!(failure, Err(Failure::Store(_))));
    }

    #[test]
    fn threads_share_a_range_of_keys_without_gap_or_overlap() {
        let sum = AtomicU64::new(0);
        watched(Length::Items(9_999), &Interrupt::default(), |_, control| {
            while let Some(keys) = control.next_keys(9_999) {
                sum.fetch_add(keys.sum::<u64>(), Ordering::Relaxed);
            }
            Ok(Tally::default())
        })
        .unwrap();
        assert_eq!(sum.into_inner(), (0..9_999).sum::<u64>());
    }
}
