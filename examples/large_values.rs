//! Values larger than memory: from a reader into the store, and out again into a writer. How many MiB is an argument.

use oxifaster::device::FileSystemDisk;
use oxifaster::store::{FasterKv, FasterKvConfig};
use std::io::{self, Read, Seek, SeekFrom, Write};

const BUDGET: u64 = 64 << 20;

/// Bytes that are nowhere the same, as many as are asked for; or sees that those that are written are these.
#[derive(Default)]
struct Pattern {
    at: u64,
}

impl Pattern {
    fn byte(at: u64) -> u8 {
        ((at >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 ^ at as u8
    }
}

impl Read for Pattern {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        buf.iter_mut().zip(self.at..).for_each(|(byte, at)| *byte = Self::byte(at));
        self.at += buf.len() as u64;
        Ok(buf.len())
    }
}

impl Write for Pattern {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.iter().zip(self.at..).any(|(byte, at)| *byte != Self::byte(at)) {
            return Err(io::Error::other("other bytes came back than were written"));
        }
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The most memory that this process ever had, where the system says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::temp_dir().join(format!("oxifaster-large-values-{}", std::process::id()));
    let mebibytes = std::env::args().nth(1).map_or(Ok(160), |argument| argument.parse::<u64>())?;
    let len = mebibytes << 20;
    let before = peak_memory();
    let config = FasterKvConfig::default().with_memory_budget(BUDGET);
    let store: FasterKv<String, Vec<u8>, _> = FasterKv::open(config, FileSystemDisk::open(&directory)?)?;
    let mut session = store.start_session();

    // From any reader, with memory for one piece. Before the end nothing can be seen of it.
    session.upsert_from("film".to_owned(), Some(len), Pattern::default())?;
    session.upsert("title".to_owned(), b"An example".to_vec())?;

    // To any writer; and from any place.
    let mut written = Pattern::default();
    assert_eq!(session.read_into("film", &mut written)?, Some(len));
    assert_eq!(written.at, len);
    let mut reader = session.value_reader("film")?.ok_or("it was just written")?;
    reader.seek(SeekFrom::End(-1000))?;
    assert_eq!(io::copy(&mut reader, &mut Pattern { at: len - 1000 })?, 1000);
    drop(reader);

    // Whoever asks for it as a whole is told what to do.
    let refused = session.read("film").err().ok_or("it is larger than a page")?;
    assert_eq!(refused.kind(), oxifaster::ErrorKind::LargeValue);
    println!("{refused}");

    // Half a value is none, and costs nothing but space, until the log is compacted.
    let mut writer = session.value_writer("half".to_owned(), None)?;
    writer.write_all(&[0; 10 << 20])?;
    drop(writer);
    assert_eq!(store.iter()?.keys().count(), 2);

    if let (Some(before), Some(peak)) = (before, peak_memory()) {
        println!("{mebibytes} MiB through {} MiB: at most {} MiB of memory", BUDGET >> 20, (peak - before) >> 20);
        assert!(peak - before < BUDGET + (16 << 20), "more memory than the budget, its pieces and the code");
    }
    drop(session);
    drop(store);
    std::fs::remove_dir_all(&directory).ok();
    Ok(())
}
