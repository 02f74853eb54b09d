//! What the simulator promises to those who test with it.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test panics when it fails")]

mod conforms;
mod crashes;
mod faults;
mod names;
mod repeats;

use oxifaster::device::{CompletionQueue, CompletionSink, IoChannel, IoDone, IoRequest, StorageDevice};
use oxifaster::memory::AlignedBuf;
use oxifaster_sim::{SimDisk, SimWorld};
use std::sync::Arc;
use std::time::Duration;

const BLOCK: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(30);

fn write_request(block: u64, byte: u8) -> IoRequest {
    let mut buf = AlignedBuf::zeroed(BLOCK);
    buf.fill(byte);
    IoRequest::write(block * BLOCK as u64, BLOCK, buf)
}

fn read_request(block: u64) -> IoRequest {
    IoRequest::read(block * BLOCK as u64, BLOCK, AlignedBuf::zeroed(BLOCK))
}

/// Carries one access out, without leaving anything to the clock.
fn run(disk: &SimDisk, request: IoRequest) -> IoDone {
    let mut channel: Box<dyn IoChannel> = disk.channel().unwrap();
    channel.submit(request, 1);
    channel.take_within(PATIENCE).unwrap().1
}

fn write(disk: &SimDisk, block: u64, byte: u8) {
    assert_eq!(run(disk, write_request(block, byte)).result.unwrap(), BLOCK);
}

fn sync(disk: &SimDisk) {
    assert_eq!(run(disk, IoRequest::sync()).result.unwrap(), 0);
}

/// The bytes of a block; fewer at the end of the disk.
fn read(disk: &SimDisk, block: u64) -> Vec<u8> {
    let done = run(disk, read_request(block));
    let read = done.result.unwrap();
    done.buf[..read].to_vec()
}

/// The bytes of a block of the disk `log` in a world.
fn read_log(world: &SimWorld, block: u64) -> Vec<u8> {
    read(&world.disk("log"), block)
}

/// Starts an access and leaves it under way.
fn start(disk: &SimDisk, request: IoRequest, queue: &Arc<CompletionQueue>) {
    disk.submit(request, Arc::clone(queue) as Arc<dyn CompletionSink>, 0);
}
