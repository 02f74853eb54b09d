//! Several keys changed as one, and keys locked by hand.
//!
//! Run with `cargo run --example transactions`.

use oxifaster::device::FileSystemDisk;
use oxifaster::locks::LockMode;
use oxifaster::store::{FasterKv, FasterKvConfig, Session};
use oxifaster::{Error, ErrorKind, Result};

const ACCOUNTS: u64 = 100;

/// Moves an amount between two accounts, or does nothing and says why.
fn transfer(session: &mut Session<u64, u64>, from: u64, to: u64, amount: u64) -> Result<()> {
    session.transaction(|bank| {
        let balance = bank.read(&from)?.unwrap_or(0);
        if balance < amount {
            return Err(Error::new(ErrorKind::NotFound, "there is not enough money").with("balance", balance));
        }
        bank.upsert(from, balance - amount);
        bank.rmw(to, |balance| *balance += amount)
    })
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let disk = FileSystemDisk::open(place.path().join("log"))?;
    let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(16 << 20), disk)?;
    let mut session = store.start_session();
    session.upsert_batch(&(0..ACCOUNTS).map(|account| (account, 1000)).collect::<Vec<_>>())?;

    // Four threads move money; whoever is outrun by another is run again.
    std::thread::scope(|scope| {
        for worker in 0..4u64 {
            let mut session = store.start_session();
            scope.spawn(move || {
                for step in 0..2000u64 {
                    let (from, to) = ((step * 7 + worker) % ACCOUNTS, (step * 13 + 5) % ACCOUNTS);
                    if from != to {
                        transfer(&mut session, from, to, step % 40).ok();
                    }
                }
            });
        }
    });
    let sum =
        session.transaction(|bank| (0..ACCOUNTS).map(|key| Ok(bank.read(&key)?.unwrap_or(0))).sum::<Result<u64>>())?;
    assert_eq!(sum, ACCOUNTS * 1000);
    let refused = transfer(&mut session, 1, 2, 1_000_000).err().ok_or("there was not enough money")?;
    println!("{sum} in all; {refused}");

    // By hand: nobody else reads or changes the two keys until the locks are dropped.
    let mut locked = session.lock(&[(1, LockMode::Exclusive), (2, LockMode::Exclusive)])?;
    let both = locked.read(&1)?.unwrap_or(0) + locked.read(&2)?.unwrap_or(0);
    locked.upsert(1, both / 2)?;
    locked.upsert(2, both - both / 2)?;
    drop(locked);
    assert_eq!(session.read(&1)?.unwrap_or(0) + session.read(&2)?.unwrap_or(0), both);
    Ok(())
}
