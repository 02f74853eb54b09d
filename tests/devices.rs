//! Every device under the conformance suite, and what each promises beyond it.
#![cfg(not(oxifaster_loom))]

use oxifaster::device::*;
use oxifaster::memory::AlignedBuf;
use std::sync::Arc;
use std::time::Duration;

fn once(device: &dyn StorageDevice, request: IoRequest) -> IoDone {
    let queue = CompletionQueue::new();
    device.submit(request, Arc::clone(&queue) as Arc<dyn CompletionSink>, 1);
    queue.take_within(Duration::from_secs(30)).expect("a completion").1
}

#[test]
fn smoke() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FileSystemDiskOptions::new().with_segment_size(8192).open(dir.path().join("a/b")).unwrap();
    eprintln!("direct {}", disk.is_direct());
    let mut buf = AlignedBuf::zeroed(40960);
    buf.fill(7);
    let done = once(&disk, IoRequest::write(4096, 40960, buf));
    assert_eq!(done.result.unwrap(), 40960);
    once(&disk, IoRequest::sync()).result.unwrap();
    let done = once(&disk, IoRequest::read(0, 65536, AlignedBuf::zeroed(65536)));
    assert_eq!(done.result.unwrap(), 45056);
    assert!(done.buf[..4096].iter().all(|b| *b == 0) && done.buf[4096..45056].iter().all(|b| *b == 7));
    let e = FileSystemDisk::open(dir.path().join("a/b")).unwrap_err();
    eprintln!("{e}");
    drop(disk);
    let disk = FileSystemDisk::open(dir.path().join("a/b")).unwrap();
    assert_eq!(disk.info().extent, 45056);
    once(&disk, IoRequest::truncate_before(20000)).result.unwrap();
    eprintln!("{:?}", once(&disk, IoRequest::read(0, 4096, AlignedBuf::zeroed(65536))));
}
