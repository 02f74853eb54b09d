//! Keys and values of one's own: plain structs, checked at compile time to be nothing but their bytes.
//!
//! Run with `cargo run --example custom_types`.

use oxifaster::device::MemoryDisk;
use oxifaster::store::{FasterKv, FasterKvConfig};

oxifaster::pod! {
    /// A user's document.
    #[derive(Eq)]
    struct DocumentId {
        tenant: u32,
        number: u32,
    }
}

oxifaster::pod! {
    /// How a document was read. 24 bytes: updated in place as a whole, never seen half changed.
    struct Reads {
        count: u64,
        total_millis: f64,
        last_reader: [u8; 8],
    }
}

fn main() -> oxifaster::Result<()> {
    let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(1 << 20), MemoryDisk::new())?;
    let mut session = store.start_session();

    let document = DocumentId { tenant: 7, number: 1 };
    for (reader, millis) in [(*b"ann.....", 1.5), (*b"bob.....", 2.5)] {
        session.rmw(document, |reads: &mut Reads| {
            reads.count += 1;
            reads.total_millis += millis;
            reads.last_reader = reader;
            true
        })?;
    }
    let reads = session.read(&document)?;
    assert_eq!(reads, Some(Reads { count: 2, total_millis: 4.0, last_reader: *b"bob....." }));
    assert_eq!(session.read(&DocumentId { tenant: 8, number: 1 })?, None);

    // Arrays of any integer, and keys without a value, need no declaration.
    let seen = FasterKv::open(FasterKvConfig::default().with_memory_budget(1 << 20), MemoryDisk::new())?;
    let mut session = seen.start_session();
    let fingerprint = [1u8; 32];
    assert!(session.insert(fingerprint, ())?, "new");
    assert!(!session.insert(fingerprint, ())?, "a duplicate");

    println!("{reads:?}");
    Ok(())
}
