//! A chain that many keys share.

use super::tiny;
use oxifaster::device::{FaultyDisk, IoOp, MemoryDisk};
use oxifaster::store::{Begun, FasterKv, Outcome};

/// With an index of one bucket all keys but the first seven share a chain. While an operation walks down it, record by record
/// on the device, others add to it. When the walk has ended, the operation reads what was added, and not all of it again: on
/// a chain that grows as fast as the device answers it would never come to an end.
#[test]
fn a_walk_ends_where_an_earlier_one_of_the_same_operation_began() {
    const OLD: u64 = 50;
    let disk = FaultyDisk::new(MemoryDisk::new());
    let plan = disk.plan();
    let store = FasterKv::<u64, u64, _>::open(tiny().with_table_size(1).with_index_growth(false), disk).unwrap();
    let (mut session, mut other) = (store.start_session(), store.start_session());
    (0..OLD).for_each(|key| session.upsert(key, key).unwrap());
    store.evict().unwrap();
    let deepest = 7;
    plan.pause_only(IoOp::Read);
    let begun = session.begin_rmw(deepest, |value| {
        *value += 1;
        true
    });
    let Begun::Pending(ticket) = begun.unwrap() else { panic!("it is on the device") };
    let walk = OLD - deepest;
    let mut outcomes = Vec::new();
    for step in 0..u64::MAX {
        if step < walk {
            other.upsert(1_000 + step, step).unwrap();
            store.evict().unwrap();
        }
        plan.resume();
        plan.pause_only(IoOp::Read);
        outcomes.extend(session.complete_pending(false).unwrap());
        if session.pending() == 0 && !outcomes.is_empty() {
            break;
        }
    }
    assert_eq!((outcomes.len(), outcomes[0].ticket), (1, ticket));
    assert_eq!(outcomes[0].outcome.as_ref().unwrap(), &Outcome::Rmw(true));
    assert_eq!(store.stats().device.reads, 2 * walk, "what was there, and what was added");
    plan.resume();
    assert_eq!(session.read(&deepest).unwrap(), Some(deepest + 1));
}
