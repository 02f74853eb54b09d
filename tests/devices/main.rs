//! Every device under the conformance suite, and what each promises beyond it.
#![cfg(not(oxifaster_loom))]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test panics when it fails")]

use oxifaster::device::conformance::{check_device, check_sync_failure};
use oxifaster::device::{
    BlockingDevice, CompletionQueue, CompletionSink, DeviceInfo, FaultyDisk, FileSystemDisk, FileSystemDiskOptions,
    IoDone, IoOp, IoRequest, MemoryDisk, NullDisk, StorageDevice, ThreadPoolDevice,
};
use oxifaster::memory::AlignedBuf;
use oxifaster::{Error, ErrorKind, Result};
use scripted::Scripted;
use std::cell::Cell;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tempfile::TempDir;

mod conforms;
mod faulty;
mod files;
mod memory;
mod pool;
#[cfg(target_os = "linux")]
mod rings;
mod scripted;

const PATIENCE: Duration = Duration::from_secs(30);
const SECTOR: usize = 4096;

fn submit(device: &dyn StorageDevice, request: IoRequest, queue: &Arc<CompletionQueue>, token: u64) {
    device.submit(request, Arc::clone(queue) as Arc<dyn CompletionSink>, token);
}

fn run(device: &dyn StorageDevice, request: IoRequest) -> IoDone {
    let queue = CompletionQueue::new();
    submit(device, request, &queue, 0);
    match queue.take_within(PATIENCE) {
        Some((_, done)) => done,
        None => panic!("the request did not complete"),
    }
}

fn write_request(sector: u64, sectors: usize, byte: u8) -> IoRequest {
    let mut buf = AlignedBuf::zeroed(sectors * SECTOR);
    buf.fill(byte);
    IoRequest::write(sector * SECTOR as u64, sectors * SECTOR, buf)
}

fn read_request(sector: u64, sectors: usize) -> IoRequest {
    IoRequest::read(sector * SECTOR as u64, sectors * SECTOR, AlignedBuf::zeroed(sectors * SECTOR))
}

fn write(device: &dyn StorageDevice, sector: u64, sectors: usize, byte: u8) {
    let result = run(device, write_request(sector, sectors, byte)).result;
    assert_eq!(result.expect("the write succeeds"), sectors * SECTOR);
}

fn read(device: &dyn StorageDevice, sector: u64, sectors: usize) -> Vec<u8> {
    let done = run(device, read_request(sector, sectors));
    let read = done.result.expect("the read succeeds");
    done.buf[..read].to_vec()
}

fn sync(device: &dyn StorageDevice) -> Result<usize> {
    run(device, IoRequest::sync()).result
}

fn truncate(device: &dyn StorageDevice, offset: u64) {
    run(device, IoRequest::truncate_before(offset)).result.expect("the truncation succeeds");
}

fn kind_of<T>(result: Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("an error is expected"),
        Err(error) => error.kind(),
    }
}

/// Gives every device that is made a path of its own.
struct Paths {
    directory: TempDir,
    next: Cell<usize>,
}

impl Paths {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory"), next: Cell::new(0) }
    }

    fn next(&self) -> std::path::PathBuf {
        self.next.set(self.next.get() + 1);
        self.directory.path().join(self.next.get().to_string())
    }
}

/// The files of segments in `directory`, in order.
fn segments_in(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).expect("the directory").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().expect("a plain name")).collect();
    names.retain(|name| name != "LOCK");
    names.sort();
    names
}
