//! Many seeds, on several threads if wanted.

use super::explore::{Counts, Failure, Verdict};
use super::subject::Subject;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What is to be looked at.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// With which programs; each seed is given to all of them.
    pub subjects: Vec<Subject>,
    /// The first seed.
    pub from: u64,
    /// The seed behind the last one.
    pub to: u64,
    /// When no further seed is begun.
    pub deadline: Option<Instant>,
    /// Seeds that are looked at at the same time.
    pub jobs: usize,
    /// Longer than this no seed takes, unless it hangs.
    pub seed_limit: Duration,
}

/// Hears of what a campaign finds, as soon as it finds it. Called on any thread.
pub trait Observer: Sync {
    /// A violation.
    fn failed(&self, failure: &Failure);

    /// A seed takes longer than any should.
    fn hangs(&self, program: &'static str, seed: u64, since: Duration);

    /// Some time has passed.
    fn progress(&self, so_far: &Summary);
}

/// What came of a campaign.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// How much was looked at.
    pub counts: Counts,
    /// How many violations were found.
    pub failures: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(5);
/// How often somebody looks whether a seed hangs.
const LOOK: Duration = Duration::from_millis(200);

struct Desk {
    next: u64,
    summary: Summary,
    /// What each job is at.
    under_way: Vec<Option<(Subject, u64, u32)>>,
    /// How often somebody has looked whether one hangs. That is the clock here: it stands while the whole process does.
    looks: u32,
    open_jobs: usize,
}

impl Campaign {
    /// Looks at all seeds, or at as many as there is time for.
    pub fn run(&self, observer: &dyn Observer) -> Summary {
        let begin = Instant::now();
        let jobs = self.jobs.max(1);
        let desk = Mutex::new(Desk {
            next: self.from,
            summary: Summary::default(),
            under_way: vec![None; jobs],
            looks: 0,
            open_jobs: jobs,
        });
        thread::scope(|scope| {
            for job in 0..jobs {
                let desk = &desk;
                scope.spawn(move || {
                    self.work(job, desk, observer);
                    lock(desk).open_jobs -= 1;
                });
            }
            self.watch(&desk, observer, begin);
        });
        let mut summary = lock(&desk).summary.clone();
        summary.elapsed = begin.elapsed();
        summary
    }

    fn work(&self, job: usize, desk: &Mutex<Desk>, observer: &dyn Observer) {
        while let Some(seed) = self.next_seed(desk) {
            for subject in &self.subjects {
                {
                    let mut desk = lock(desk);
                    desk.under_way[job] = Some((*subject, seed, desk.looks));
                }
                let Verdict { mut counts, failure } = (subject.explore)(seed);
                // A seed counts once, whatever number of programs it is given to.
                counts.seeds = u64::from(subject.name == self.subjects[0].name);
                let mut desk = lock(desk);
                desk.under_way[job] = None;
                desk.summary.counts.add(counts);
                desk.summary.failures += u64::from(failure.is_some());
                drop(desk);
                if let Some(failure) = failure {
                    observer.failed(&failure);
                }
            }
        }
    }

    fn next_seed(&self, desk: &Mutex<Desk>) -> Option<u64> {
        let mut desk = lock(desk);
        let is_late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if desk.next >= self.to || is_late {
            return None;
        }
        desk.next += 1;
        Some(desk.next - 1)
    }

    /// Tells of progress and of what hangs, until all jobs have ended.
    fn watch(&self, desk: &Mutex<Desk>, observer: &dyn Observer, begin: Instant) {
        let mut told = begin;
        loop {
            let (mut summary, under_way, open_jobs, looks) = {
                let mut desk = lock(desk);
                desk.looks += 1;
                (desk.summary.clone(), desk.under_way.clone(), desk.open_jobs, desk.looks)
            };
            if open_jobs == 0 {
                return;
            }
            for (subject, seed, since) in under_way.into_iter().flatten() {
                let time = LOOK * looks.saturating_sub(since);
                if time > self.seed_limit {
                    observer.hangs(subject.name, seed, time);
                }
            }
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                summary.elapsed = begin.elapsed();
                observer.progress(&summary);
            }
            thread::sleep(LOOK.min(begin.elapsed() / 4 + Duration::from_millis(1)));
        }
    }
}

fn lock(desk: &Mutex<Desk>) -> std::sync::MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}
