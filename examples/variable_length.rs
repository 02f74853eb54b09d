//! Keys and values of any length: text, bytes, and types of one's own through a codec.

use oxifaster::device::FileSystemDisk;
use oxifaster::record::Encoded;
use oxifaster::store::{FasterKv, FasterKvConfig};
use std::path::Path;

#[derive(Debug, Default, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Person {
    name: String,
    tags: Vec<String>,
}

fn main() -> oxifaster::Result<()> {
    let directory = std::env::temp_dir().join(format!("oxifaster-variable-length-{}", std::process::id()));
    text_and_bytes(&directory.join("pages"))?;
    people(&directory.join("people"))?;
    std::fs::remove_dir_all(&directory).ok();
    Ok(())
}

fn text_and_bytes(directory: &Path) -> oxifaster::Result<()> {
    let config = FasterKvConfig::default().with_memory_budget(16 << 20);
    let store: FasterKv<String, Vec<u8>, _> = FasterKv::open(config, FileSystemDisk::open(directory)?)?;
    let mut session = store.start_session();
    session.upsert("short".to_owned(), b"x".to_vec())?;
    session.upsert("long".to_owned(), vec![7; 100_000])?;

    // A key is looked up by what it can be borrowed as: no String is made for it.
    assert_eq!(session.read("short")?, Some(b"x".to_vec()));

    // A value is built where its bytes are collected, of a length that is known beforehand.
    session.upsert_with("squares".to_owned(), 10, |bytes| {
        bytes.iter_mut().zip(0u8..).for_each(|(byte, number)| *byte = number * number);
    })?;
    assert_eq!(session.read("squares")?.map(|squares| squares[9]), Some(81));

    // What is borrowed is written and looked at without a key or a value being made for it.
    session.upsert_ref("borrowed", &b"bytes of somebody else"[..])?;
    assert_eq!(session.read_with("borrowed", <[u8]>::len)?, Some(22));
    let mut lengths = [None; 3];
    session.read_batch_with(&["short", "borrowed", "missing"], |at, bytes| lengths[at] = bytes.map(<[u8]>::len))?;
    assert_eq!(lengths, [Some(1), Some(22), None]);

    // It becomes longer and shorter as it is changed: in its place as long as there is room.
    for word in ["to", "be", "or", "not"] {
        session.rmw("said".to_owned(), |said| {
            said.extend(word.as_bytes());
            true
        })?;
    }
    store.evict()?; // everything is on the device now
    assert_eq!(session.read("said")?, Some(b"tobeornot".to_vec()));
    assert_eq!(session.read("long")?.map(|long| long.len()), Some(100_000));
    println!("{} keys, at most {} bytes of memory", store.count()?, store.stats().memory_budget);
    Ok(())
}

fn people(directory: &Path) -> oxifaster::Result<()> {
    let config = FasterKvConfig::default().with_memory_budget(16 << 20);
    let store: FasterKv<u64, Encoded<Person>, _> = FasterKv::open(config, FileSystemDisk::open(directory)?)?;
    let mut session = store.start_session();
    session.upsert(1, Encoded::new(Person { name: "Ada".into(), tags: Vec::new() })?)?;
    session.rmw(1, |person| person.update(|person| person.tags.push("analyst".into())).is_ok())?;
    let ada = session.read(&1)?;
    println!("{ada:?}");
    assert_eq!(ada.map(|ada| ada.into_inner().tags), Some(vec!["analyst".to_owned()]));
    Ok(())
}
