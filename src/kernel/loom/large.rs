//! A model of a compaction that comes by while the root of a large value is published.

use super::{builder, store_of_pages};
use crate::address::Address;
use crate::epoch::LightEpoch;
use crate::kernel::{LookOp, PublishRootOp};
use crate::operation::{Operation, Step};
use crate::record::{Held, Root};
use crate::sync::{Arc, AtomicBool, Ordering};
use loom::thread;

/// C6 of compaction: a root whose title lies in the part that is looked up is there when its key is looked up, or is never published.
///
/// Broken by: looking the key up before those have left who were pinned when the part was announced; announcing it after that.
#[test]
fn a_root_is_seen_by_the_compaction_that_gives_its_fragments_up_or_refused() {
    let mut builder = builder();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let epoch = LightEpoch::new();
        let store = store_of_pages::<Vec<u8>>(&epoch, None, 8);
        let writer = {
            let (store, mut participant) = (Arc::clone(&store), epoch.join());
            thread::spawn(move || {
                let (title, below) = (Address::new(64), vec![Address::new(72)]);
                let root = Root { at: Address::INVALID, len: 10, title, leaf: 16, level: 0, below };
                let mut publish = PublishRootOp::new(1u64, &root);
                loop {
                    let guard = participant.pin();
                    match publish.step(&store, &guard) {
                        Step::Done(()) => return true,
                        Step::Failed(error) => {
                            assert!(PublishRootOp::<u64>::is_overtaken(&error));
                            return false;
                        }
                        Step::Retry(_) => thread::yield_now(),
                        Step::Wait(_) => panic!("the device is not needed"),
                    }
                }
            })
        };
        store.looked_up_below.advance_to(100);
        let have_left = Arc::new(AtomicBool::new(false));
        let left = Arc::clone(&have_left);
        epoch.bump(move || left.store(true, Ordering::Release));
        while !have_left.load(Ordering::Acquire) {
            epoch.drain();
            thread::yield_now();
        }
        let mut participant = epoch.join();
        let found = {
            let guard = participant.pin();
            match LookOp::<u64, Vec<u8>>::new(1).step(&store, &guard) {
                Step::Done(held) => held,
                _ => panic!("memory says what there is"),
            }
        };
        let is_seen = found.is_some_and(|held| matches!(held, Held::Large(root) if root.title == Address::new(64)));
        assert_eq!(writer.join().unwrap(), is_seen);
    });
}
