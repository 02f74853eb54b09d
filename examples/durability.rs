//! A store that loses nothing that a call has returned from, also without a checkpoint.
//!
//! Run with `cargo run --example durability`.

use oxifaster::device::FileSystemDisk;
use oxifaster::store::{Durability, FasterKv, FasterKvConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let open = |durability| {
        let config = FasterKvConfig::default().with_memory_budget(16 << 20).with_durability(durability);
        let log = FileSystemDisk::open(place.path().join("log"))?;
        FasterKv::<u64, u64, _>::open_durable(place.path().join("checkpoints"), config, log)
    };

    // Every call returns when its change is on the disk. Threads that write at the same time share the cost.
    let store = open(Durability::EveryOperation)?;
    std::thread::scope(|scope| {
        for writer in 0..4u64 {
            let mut session = store.start_session();
            scope.spawn(move || (0..25).try_for_each(|key| session.upsert(writer * 100 + key, key)));
        }
    });
    let mut session = store.start_named_session(42)?;
    // A batch pays once. So does who waits at the end.
    session.upsert_batch(&(1000..2000).map(|key| (key, 1)).collect::<Vec<_>>())?;
    session.set_waits_for_durable(false);
    (2000..3000).try_for_each(|key| session.upsert(key, 2))?;
    session.wait_durable()?;
    drop((session, store));

    // The same lines open it again, here with another durability: changes are safe ten milliseconds later, or when one waits.
    let store = open(Durability::GROUP)?;
    let cut = store.get_recovered_sessions().into_iter().find(|cut| cut.guid == 42).ok_or("the session is lost")?;
    assert_eq!(cut.serial, 2000);
    let mut session = store.continue_session(cut)?;
    assert_eq!((session.read(&324)?, session.read(&1999)?, session.read(&2999)?), (Some(24), Some(1), Some(2)));
    session.upsert(1, 10)?; // in memory
    session.rmw_durable(1, |value| {
        *value += 1;
        true
    })?; // on the disk, and with it all before it
    println!("durable up to {:?} of {:?}", store.durable_address(), store.addresses().tail);
    Ok(())
}
