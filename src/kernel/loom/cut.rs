//! Models of the cut of a checkpoint, with operations beside it. The header of each says which changes were seen to break it.

use super::{Store, add_one, builder, entry_of_one, model, run, store};
use crate::address::Address;
use crate::checkpoint::state::Phase;
use crate::epoch::{LightEpoch, Participant};
use crate::error::Result;
use crate::kernel::{Cut, RmwOp, Surroundings, UpsertOp, stamp};
use crate::operation::{Account, Environment, Operation, Step};
use crate::sync::{Arc, AtomicBool, Ordering};
use loom::thread;

/// Where a cut is made: one session, and patience without end.
pub(super) struct Around {
    pub(super) epoch: Arc<LightEpoch>,
    pub(super) account: Arc<Account>,
}

impl Surroundings for Around {
    fn expect(&self, version: u64) {
        self.account.expect(version);
    }

    fn is_any_in_batch(&self) -> bool {
        self.account.is_in_batch()
    }

    fn wait_until(&self, done: &mut dyn FnMut() -> bool) -> Result<()> {
        while !done() {
            self.epoch.drain();
            thread::yield_now();
        }
        Ok(())
    }

    fn wait_for_pins(&self) -> Result<()> {
        let have_left = Arc::new(AtomicBool::new(false));
        let left = Arc::clone(&have_left);
        self.epoch.bump(move || left.store(true, Ordering::Release));
        self.wait_until(&mut || have_left.load(Ordering::Acquire))
    }
}

/// Adds one to key 1 as a session does.
fn add(store: &Store, account: &Account, participant: &mut Participant) {
    let mut operation = RmwOp::new(1, add_one());
    loop {
        let guard = participant.pin();
        if guard.notice().is_some() {
            account.observe(store.version(&guard));
        }
        match operation.step(store, &guard) {
            Step::Done(_) => return account.counters.rmws.add(1),
            Step::Retry(_) => {}
            Step::Wait(_) | Step::Failed(_) => panic!("the device is not needed"),
        }
        drop(guard);
        participant.epoch().drain();
        thread::yield_now();
    }
}

/// Begins a batch as a session does, for which there is one cut.
fn begin_batch(store: &Store, account: &Account, participant: &mut Participant) {
    let is_cut_ahead = |participant: &mut Participant| {
        let guard = participant.pin();
        guard.notice().is_some() && store.moment(&guard).phase == Phase::Prepare
    };
    account.begin_batch();
    if !is_cut_ahead(participant) {
        return;
    }
    account.end_batch();
    while is_cut_ahead(participant) {
        participant.epoch().drain();
        thread::yield_now();
    }
    account.begin_batch();
}

/// The value of key 1 in what a cut keeps; 0 if the key is not there.
fn value_at(store: &Store, cut: &Cut<'_, u64, u64>, participant: &mut Participant) -> u64 {
    let guard = participant.pin();
    let mut address = entry_of_one(store, &guard).address();
    while address.is_valid() {
        let record = store.log.space(address, 24, &guard);
        let info = record.info();
        let is_of_next = address >= cut.start && info.version() == stamp(cut.version() + 1);
        if address < cut.end && !is_of_next && !info.is_invalid() {
            return record.value::<u64, u64>().unwrap();
        }
        address = info.previous();
    }
    0
}

/// What a session does while a cut is made.
#[derive(Clone, Copy)]
struct Case {
    /// Whether its key is there before: if not, nothing has it wait for the cut.
    is_there: bool,
    increments: u64,
    in_batch: bool,
    /// More of them take minutes. Where they matter most, the threads yield by themselves.
    preemptions: usize,
}

const CASES: [Case; 4] = [
    Case { is_there: true, increments: 2, in_batch: false, preemptions: 1 },
    Case { is_there: true, increments: 2, in_batch: true, preemptions: 1 },
    Case { is_there: false, increments: 1, in_batch: false, preemptions: 2 },
    Case { is_there: false, increments: 2, in_batch: false, preemptions: 1 },
];

/// A session increments a key while a cut is made, and who made it does so after it. What the cut keeps is the key after
/// exactly as many increments as the session's serial number says, and stays that for as long as the cut lives; and no
/// increment is lost. In a batch, all are in it or none.
///
/// Broken by: no wait after `InProgress` was posted; treating a record of the old version in `InProgress` as it is by its
/// address; an `observe` after the step; a cut that does not wait for batches.
#[test]
fn a_cut_keeps_a_prefix_of_a_session_and_loses_nothing() {
    for case in CASES {
        let mut builder = builder();
        builder.preemption_bound = Some(case.preemptions);
        builder.check(move || cut_beside(case));
    }
}

fn cut_beside(case: Case) {
    let epoch = LightEpoch::new();
    let store = store(&epoch);
    let mut participant = epoch.join();
    if case.is_there {
        run(&store, UpsertOp::new(1, 0), &mut participant);
    }
    let account = Arc::new(Account::new(7, 0));
    let session = {
        let (store, account, mut participant) = (Arc::clone(&store), Arc::clone(&account), epoch.join());
        thread::spawn(move || {
            if case.in_batch {
                begin_batch(&store, &account, &mut participant);
            }
            for _ in 0..case.increments {
                add(&store, &account, &mut participant);
                thread::yield_now();
            }
            account.end_batch();
            participant.epoch().drain();
        })
    };
    thread::yield_now();
    let around = Around { epoch: Arc::clone(&epoch), account: Arc::clone(&account) };
    let mut serial = 0;
    let cut = Cut::make(&*store, &epoch, &around, Address::INVALID, |version| {
        serial = account.cut_before(version);
    });
    let cut = cut.unwrap();
    assert!(!case.in_batch || serial == 0 || serial == case.increments, "a batch was cut through");
    assert_eq!(value_at(&store, &cut, &mut participant), serial);
    add(&store, &Account::new(8, 0), &mut participant);
    session.join().unwrap();
    assert_eq!(value_at(&store, &cut, &mut participant), serial, "it was changed while the cut lived");
    drop(cut);
    epoch.drain();
    let guard = participant.pin();
    let newest = entry_of_one(&store, &guard).address();
    let value = store.log.space(newest, 24, &guard).value::<u64, u64>().unwrap();
    assert_eq!(value, case.increments + 1, "an increment was lost");
}

/// A cut goes while a session increments a key that it kept: a copy that is made of the record is not in the way of a change in
/// place.
///
/// Broken by: thawing at once, or in the first action of the epoch instead of the second; not taking back `settled` before.
#[test]
fn an_increment_in_place_is_not_lost_to_a_copy_when_a_cut_goes() {
    model(|| {
        let epoch = LightEpoch::new();
        let store = store(&epoch);
        let mut participant = epoch.join();
        run(&store, UpsertOp::new(1, 0), &mut participant);
        let account = Arc::new(Account::new(7, 0));
        let around = Around { epoch: Arc::clone(&epoch), account: Arc::clone(&account) };
        let cut = Cut::make(&*store, &epoch, &around, Address::INVALID, |_| ()).unwrap();
        let session = {
            let (store, account, mut participant) = (Arc::clone(&store), Arc::clone(&account), epoch.join());
            thread::spawn(move || {
                add(&store, &account, &mut participant);
                participant.epoch().drain();
            })
        };
        drop(cut);
        epoch.drain();
        let other = Account::new(8, 0);
        add(&store, &other, &mut participant);
        session.join().unwrap();
        let guard = participant.pin();
        let newest = entry_of_one(&store, &guard).address();
        assert_eq!(store.log.space(newest, 24, &guard).value::<u64, u64>().unwrap(), 2, "an increment was lost");
    });
}
