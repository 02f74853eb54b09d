//! Operations as futures: ready at once when memory can answer, many in flight when it cannot.
//!
//! Any executor will do; the few lines of `block_on` at the end are one.
//!
//! Run with `cargo run --example async_operations`.

use oxifaster::device::FileSystemDisk;
use oxifaster::store::{FasterKv, FasterKvConfig};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let device = FileSystemDisk::open(directory.path().join("async_operations"))?;
    let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(1 << 20), device)?;
    let mut session = store.start_async_session();

    block_on(async {
        for key in 0..200_000u64 {
            session.upsert(key, key * 2).await?; // waits only while the log has no room
        }
        // All in flight: as many reads are under way as the session may have, the others wait their turn.
        let reads: Vec<_> = (0..1000).map(|key| session.read(&key)).collect();
        for (key, read) in (0..).zip(reads) {
            assert_eq!(read.await?, Some(key * 2));
        }
        let counted = session.rmw(7, |value| {
            *value += 1;
            true
        });
        assert!(counted.await?);
        assert_eq!(session.read(&7).await?, Some(15));
        Ok::<(), oxifaster::Error>(())
    })?;

    let stats = store.stats();
    assert!(stats.read_misses > 0);
    println!("{} look-ups waited for the disk, {} did not", stats.read_misses, stats.read_hits);
    Ok(())
}

fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}
