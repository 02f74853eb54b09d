//! Keys and values of one's own: plain structs, checked at compile time to be nothing but their bytes; pairs of plain types; what
//! serde can write; and a codec.
//!
//! Run with `cargo run --example custom_types`.

use oxifaster::device::MemoryDisk;
use oxifaster::record::{Codec, Encoded, Pair};
use oxifaster::store::{FasterKv, FasterKvConfig};
use oxifaster::{Error, ErrorKind, Result};
use std::net::IpAddr;

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

oxifaster::pod! {
    /// A number that is not to be taken for another one.
    #[derive(Eq)]
    struct UserId(u64);
}

fn main() -> Result<()> {
    structs()?;
    pairs()?;
    anything_that_serde_can_write()?;
    a_codec()
}

fn config() -> FasterKvConfig {
    FasterKvConfig::default().with_memory_budget(1 << 20)
}

/// Structs of plain fields cost their bytes and nothing else.
fn structs() -> Result<()> {
    let store = FasterKv::open(config(), MemoryDisk::new())?;
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
    println!("{reads:?}");

    // Arrays of any integer, and keys without a value, need no declaration.
    let seen = FasterKv::open(config(), MemoryDisk::new())?;
    let mut session = seen.start_session();
    let fingerprint = [1u8; 32];
    assert!(session.insert(fingerprint, ())?, "new");
    assert!(!session.insert(fingerprint, ())?, "a duplicate");
    Ok(())
}

/// Two plain types as one, without a declaration and without padding: 12 bytes here, where a struct or a tuple of the compiler's would
/// have 16, four of which nobody wrote.
fn pairs() -> Result<()> {
    let store = FasterKv::open(config(), MemoryDisk::new())?;
    let mut session = store.start_session();
    for (day, pages) in [(19_000u32, 3u32), (19_001, 5)] {
        session.upsert(Pair(UserId(1), day), pages)?;
    }
    assert_eq!(session.read(&Pair(UserId(1), 19_001))?, Some(5));
    // Keys are looked up whole: there is no order in which those of one user could be found.
    assert_eq!(session.read(&Pair(UserId(2), 19_001))?, None);
    Ok(())
}

#[derive(Debug, Default, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Profile {
    name: String,
    languages: Vec<String>,
    #[serde(default)]
    newsletter: bool,
}

/// A type that is no plain data goes through a codec: JSON unless another is named. Fields can be added later, as serde allows.
fn anything_that_serde_can_write() -> Result<()> {
    let store: FasterKv<UserId, Encoded<Profile>, _> = FasterKv::open(config(), MemoryDisk::new())?;
    let mut session = store.start_session();
    let ada = Profile { name: "Ada".into(), languages: vec!["en".into()], newsletter: false };
    session.upsert(UserId(1), Encoded::new(ada)?)?;
    session.rmw(UserId(1), |profile| profile.update(|profile| profile.languages.push("fr".into())).is_ok())?;
    let languages = session.read(&UserId(1))?.map(|profile| profile.languages.join(", "));
    assert_eq!(languages.as_deref(), Some("en, fr"));
    println!("{languages:?}");

    // As a key, too, as long as equal keys are written alike: structs and tuples are, hash maps are not.
    let owners: FasterKv<Encoded<(String, u32)>, UserId, _> = FasterKv::open(config(), MemoryDisk::new())?;
    let mut session = owners.start_session();
    let room = Encoded::new(("east".to_owned(), 12))?;
    session.upsert(room.clone(), UserId(1))?;
    assert_eq!(session.read(&room)?, Some(UserId(1)));
    Ok(())
}

/// Addresses as their 4 or 16 bytes. None is written as nothing, which is what a read-modify-write begins with.
struct Octets;

impl Codec<Option<IpAddr>> for Octets {
    fn encode(address: &Option<IpAddr>, bytes: &mut Vec<u8>) -> Result<()> {
        match address {
            None => {}
            Some(IpAddr::V4(address)) => bytes.extend(address.octets()),
            Some(IpAddr::V6(address)) => bytes.extend(address.octets()),
        }
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Option<IpAddr>> {
        if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
            return Ok(Some(octets.into()));
        }
        let octets: [u8; 16] =
            bytes.try_into().map_err(|_| Error::new(ErrorKind::Corrupt, "an address has 4 or 16 bytes"))?;
        Ok(Some(octets.into()))
    }
}

/// What is smaller than JSON, or has to be like what other programs write, is two functions.
fn a_codec() -> Result<()> {
    let store: FasterKv<String, Encoded<Option<IpAddr>, Octets>, _> = FasterKv::open(config(), MemoryDisk::new())?;
    let mut session = store.start_session();
    let address: IpAddr = "192.0.2.7".parse().map_err(|_| Error::new(ErrorKind::Config, "no address"))?;
    session.upsert("host".to_owned(), Encoded::new(Some(address))?)?;
    assert_eq!(session.read_with("host", <[u8]>::len)?, Some(4));
    let found = session.read("host")?;
    assert_eq!(found.as_ref().and_then(|address| **address), Some(address));
    println!("{found:?}");
    Ok(())
}
