//! The log on a device in memory, with pages of 4 KiB and more.

mod durable;
mod recovered;

use crate::address::Address;
use crate::allocator::block::{BLOCK_PAYLOAD, BLOCK_SIZE};
use crate::allocator::geometry::LogGeometry;
use crate::allocator::hybrid_log::{Allocation, HybridLog, LogConfig};
use crate::allocator::pointers::{FIRST, LogAddresses};
use crate::allocator::tail::Reserved;
use crate::device::{CompletionQueue, CompletionSink, IoDone, IoRequest, MemoryDisk, StorageDevice};
use crate::epoch::{LightEpoch, Participant};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{AlignedBuf, IoBuf};
use crate::record::{Draft, Record, RecordInfo, RecordLayout, Value};
use crate::sync::{Arc, Backoff};
use std::time::{Duration, Instant};

const GENERATION: u32 = 0x0403_0201;
const LIMIT: Duration = Duration::from_secs(60);

fn config(page_bits: u32, frames: u64) -> LogConfig {
    let geometry = LogGeometry::new(page_bits, frames, 0.5).unwrap();
    LogConfig { geometry, generation: GENERATION, record_size: 128, volatile: false, read_buffers: 2, spares: 0 }
}

/// A log with frames for four pages, and the disk under it.
struct World {
    epoch: Arc<LightEpoch>,
    log: HybridLog,
    disk: MemoryDisk,
}

impl World {
    fn new(page_bits: u32) -> Self {
        let (epoch, disk) = (LightEpoch::new(), MemoryDisk::new());
        let config = config(page_bits, 4);
        let log = HybridLog::new(config, Arc::clone(&epoch), Arc::new(disk.clone()));
        Self { epoch, log: log.unwrap(), disk }
    }

    /// Calls `attempt` until it gives something, and does what there is to do in between.
    fn until<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        let (since, mut backoff) = (Instant::now(), Backoff::new());
        loop {
            if let Some(result) = attempt() {
                return result;
            }
            assert!(since.elapsed() < LIMIT, "no progress: {:?}", self.log.addresses());
            self.log.help();
            backoff.wait();
        }
    }

    fn append<V: Value>(&self, participant: &mut Participant, key: u64, value: &V) -> Address {
        self.append_stamped(participant, key, value, 0)
    }

    fn append_stamped<V: Value>(&self, participant: &mut Participant, key: u64, value: &V, stamp: u16) -> Address {
        let size = RecordLayout::of::<u64, V>().planned_size();
        self.until(|| {
            let guard = participant.pin();
            let Allocation::At(address) = self.log.allocate(size, &guard).unwrap() else { return None };
            let record = self.log.space(address, size, &guard);
            assert!(!record.info().is_present(), "a page opens empty");
            record.write::<u64, V>(RecordInfo::new(Address::INVALID, stamp), Draft::new(&key, value));
            Some(address)
        })
    }

    /// Has everything written, and returns up to where.
    fn flush(&self) -> Address {
        let closed = self.until(|| self.log.close_tail());
        self.until(|| (self.log.addresses().flushed >= closed).then_some(closed))
    }

    fn evict_until(&self, to: Address) {
        self.log.evict_until(to);
        self.until(|| (self.log.addresses().safe_head >= to).then_some(()));
    }

    fn submit(&self, request: IoRequest) -> IoDone {
        let queue = CompletionQueue::new();
        self.log.device().submit(request, Arc::clone(&queue) as Arc<dyn CompletionSink>, 0);
        queue.take_within(LIMIT).unwrap().1
    }

    fn fetch<V: Value>(&self, address: Address) -> Result<Record<u64, V>> {
        let size = RecordLayout::of::<u64, V>().planned_size();
        let done = self.submit(self.log.with_buffer(self.log.fetch_request(address, size)));
        self.log.fetched(address, size, done, RecordLayout::parse::<u64, V>)
    }

    fn block(&self, number: u64) -> IoBuf {
        let read = IoRequest::read(number * BLOCK_SIZE as u64, BLOCK_SIZE, AlignedBuf::zeroed(BLOCK_SIZE));
        let done = self.submit(read);
        assert_eq!(done.result.unwrap(), BLOCK_SIZE);
        done.buf
    }

    fn flip_bit(&self, number: u64, byte: usize) {
        let mut block = self.block(number);
        block[byte] ^= 1;
        let queue = CompletionQueue::new();
        let write = IoRequest::write(number * BLOCK_SIZE as u64, BLOCK_SIZE, block);
        self.disk.submit(write, Arc::clone(&queue) as Arc<dyn CompletionSink>, 0);
        queue.take_within(LIMIT).unwrap().1.result.unwrap();
    }
}

/// Writes many pages of records and reads each of them back from the device. Returns how many lay in two blocks.
fn write_and_fetch<const N: usize>(page_bits: u32) -> usize {
    let world = World::new(page_bits);
    let mut participant = world.epoch.join();
    let value = |key: u64| -> [u8; N] { std::array::from_fn(|at| (key as usize * 31 + at * 7) as u8) };
    let size = RecordLayout::of::<u64, [u8; N]>().planned_size();
    let count = (11 << page_bits) / size as u64;
    let places: Vec<Address> = (0..count).map(|key| world.append(&mut participant, key, &value(key))).collect();
    assert!(world.log.geometry().page().page(*places.last().unwrap()) >= 10, "far more than fits in memory");
    world.flush();
    for (key, address) in (0u64..).zip(&places) {
        let record = world.fetch::<[u8; N]>(*address).unwrap();
        assert_eq!((record.key, record.value), (key, Some(value(key))), "at {address}");
        assert_eq!(record.info, RecordInfo::new(Address::INVALID, 0));
    }
    let last_byte = |address: &Address| Address::new(address.get() + size as u64 - 1);
    let geometry = world.log.geometry();
    places.iter().filter(|address| geometry.block_of(**address) != geometry.block_of(last_byte(address))).count()
}

#[test]
fn every_record_comes_back_from_the_device_as_it_was_written() {
    let in_two_blocks = [
        write_and_fetch::<8>(12),
        write_and_fetch::<104>(12),
        write_and_fetch::<3976>(12),
        write_and_fetch::<8>(14),
        write_and_fetch::<104>(14),
        write_and_fetch::<3976>(14),
    ];
    // Pages of 4 KiB have one boundary of blocks, 8 bytes before their end: the first record size hits it on the first
    // page only, the second on all others, the third never.
    assert_eq!(in_two_blocks[..3], [1, 10, 0]);
    assert!(in_two_blocks[3..].iter().all(|count| *count > 10), "{in_two_blocks:?}");
}

/// CRC-32C of the block below with its number, worked out bit by bit outside of this project.
const CHECKSUM: u32 = 0xeb09_706a;

#[test]
fn the_layout_on_the_device_is_that_of_the_format() {
    let world = World::new(12);
    let mut participant = world.epoch.join();
    let address = world.append(&mut participant, 0x1122_3344_5566_7788, &0x0102_0304_0506_0708u64);
    assert_eq!((address.get(), world.flush().get()), (FIRST, BLOCK_PAYLOAD as u64));
    let block = world.block(0);
    let mut expected = vec![0; BLOCK_SIZE];
    expected[64..72].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0x80]); // no previous record, version 0, present
    expected[72..80].copy_from_slice(&[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
    expected[80..88].copy_from_slice(&[8, 7, 6, 5, 4, 3, 2, 1]);
    expected[4088..4092].copy_from_slice(&[1, 2, 3, 4]); // the generation
    expected[4092..4096].copy_from_slice(&CHECKSUM.to_le_bytes());
    assert!(block[..] == expected[..], "trailer {:x?}", &block[4088..]);
    // A page of 4 KiB takes a second block for its last 8 bytes; the next page begins with a block of its own.
    let geometry = world.log.geometry();
    assert_eq!(geometry.device_offset(geometry.block_of(Address::new(4095))), 4096);
    assert_eq!(geometry.device_offset(geometry.block_of(Address::new(4096))), 8192);
}

#[test]
fn closing_the_tail_leaves_a_gap_once() {
    let world = World::new(13);
    let mut participant = world.epoch.join();
    world.append(&mut participant, 1, &1u64);
    let closed = world.log.close_tail().unwrap();
    assert_eq!(closed.get(), BLOCK_PAYLOAD as u64, "the next boundary of blocks");
    assert_eq!(world.log.close_tail(), Some(closed), "nothing has come since");
    assert_eq!(world.log.addresses().tail, closed);
    assert_eq!(world.append(&mut participant, 2, &2u64), closed);
    assert_eq!(world.log.close_tail().unwrap().get(), 2 * BLOCK_PAYLOAD as u64);
    assert_eq!(world.flush().get(), 2 * BLOCK_PAYLOAD as u64);
    assert_eq!(world.log.addresses().read_only, world.log.addresses().tail);
}

#[test]
fn a_page_can_be_evicted_in_part() {
    let world = World::new(13);
    let mut participant = world.epoch.join();
    let old = world.append(&mut participant, 1, &10u64);
    let closed = world.flush();
    let young = world.append(&mut participant, 2, &20u64);
    assert_eq!(young, closed, "on the same page");
    world.evict_until(closed);
    assert_eq!((world.log.addresses().head, world.log.addresses().safe_head), (closed, closed));
    assert_eq!(world.fetch::<u64>(old).unwrap().value, Some(10));
    {
        let guard = participant.pin();
        let record = world.log.view(&guard).record(young, RecordLayout::fixed(8, 8));
        assert!(record.key_is::<u64, u64>(&2u64), "what is above head stays in memory");
        assert_eq!(record.value::<u64, u64>().unwrap(), 20);
    }
    let next_page: Vec<Address> = (3..400).map(|key| world.append(&mut participant, key, &(key * 10))).collect();
    world.evict_until(world.flush());
    assert_eq!(world.fetch::<u64>(young).unwrap().value, Some(20));
    for (key, address) in (3u64..).zip(next_page) {
        assert_eq!(world.fetch::<u64>(address).unwrap().value, Some(key * 10));
    }
}

#[test]
fn eviction_waits_for_the_device() {
    let world = World::new(12);
    let mut participant = world.epoch.join();
    world.append(&mut participant, 1, &1u64);
    let tail = world.log.addresses().tail;
    world.log.evict_until(tail);
    world.log.help();
    assert_eq!(world.log.addresses().head.get(), FIRST, "L4: nothing of it is on the device");
    let closed = world.flush();
    world.until(|| (world.log.addresses().safe_head >= tail).then_some(()));
    assert_eq!(world.log.addresses().head, tail.min(closed), "the wish is kept until the device holds it");
}

fn assert_corrupt(error: &Error, address: Address) {
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(error.field("log address"), Some(address.to_string().as_str()), "{error}");
}

#[test]
fn a_damaged_block_is_reported_with_the_address_of_the_record() {
    let world = World::new(14);
    let mut participant = world.epoch.join();
    let value = [7u8; 3976];
    let places: Vec<Address> = (0..4).map(|key| world.append(&mut participant, key, &value)).collect();
    world.flush();
    // The second record lies in the blocks 0 and 1. Damage that is far from its bytes counts as well.
    for (number, byte) in [(0, 0), (0, BLOCK_SIZE - 1), (1, BLOCK_PAYLOAD), (1, 4000)] {
        world.flip_bit(number, byte);
        let error = world.fetch::<[u8; 3976]>(places[1]).unwrap_err();
        assert_corrupt(&error, places[1]);
        assert_eq!(error.field("device offset"), Some((number * BLOCK_SIZE as u64).to_string().as_str()));
        assert_eq!(world.fetch::<[u8; 3976]>(places[3]).unwrap().value, Some(value), "other blocks are served");
        world.flip_bit(number, byte);
        assert_eq!(world.fetch::<[u8; 3976]>(places[1]).unwrap().value, Some(value));
    }
    let beyond = Address::new(world.log.addresses().tail.get() + BLOCK_PAYLOAD as u64);
    let cut_off = world.fetch::<u64>(beyond).unwrap_err();
    assert_corrupt(&cut_off, beyond);
    assert_eq!(cut_off.field("bytes there"), Some("0"), "{cut_off}");
}

/// The boundaries from the lowest to the highest.
fn in_order(at: LogAddresses) -> [Address; 7] {
    [at.begin, at.safe_head, at.head, at.flushed, at.safe_read_only, at.read_only, at.tail]
}

#[test]
fn boundaries_are_in_order_and_only_grow_while_four_threads_append() {
    let world = World::new(12);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let world = &world;
            scope.spawn(move || {
                let mut participant = world.epoch.join();
                let mut last = in_order(world.log.addresses());
                for key in 0..10_000 {
                    world.append(&mut participant, key, &thread);
                    if key % 1000 == 0 {
                        let _ = world.log.close_tail();
                    }
                    let now = in_order(world.log.addresses());
                    assert!(now.is_sorted(), "L1: {now:?}");
                    // Not the tail: a turn that is given back takes it from the page's end to where it was.
                    assert!(now.iter().zip(&last).take(6).all(|(now, last)| now >= last), "{last:?} then {now:?}");
                    last = now;
                }
            });
        }
    });
    assert!(world.log.addresses().head > Address::new(4 * 10_000 * 24 / 2), "most of it was evicted meanwhile");
}

#[test]
fn the_head_waits_at_a_page_while_a_record_that_goes_on_is_not_written_yet() {
    let world = World::new(20);
    let mut participant = world.epoch.join();
    let page = Address::new(1 << 20);
    while world.log.addresses().tail <= page {
        world.append(&mut participant, 1, &[7u8; 1000]);
    }
    // A block ends here, and a record does not.
    let written = Address::new(100 * BLOCK_PAYLOAD as u64);
    world.log.close_below(written);
    world.until(|| (world.log.addresses().flushed >= written).then_some(()));
    assert!(world.log.addresses().flushed < page);
    let before = world.log.addresses().head;
    world.log.evict_until(page);
    assert_eq!(world.log.addresses().head, before, "a record lies across what is written");
    world.log.close_below(page);
    world.until(|| (world.log.addresses().head == page).then_some(()));
}

/// A thread that is to turn a page and is never given the processor: who asks for the end of the log does not wait for ever.
#[test]
fn the_tail_is_not_waited_for_without_end() {
    let world = World::new(12);
    let page = world.log.geometry().page().page_size();
    let tail = &world.log.core.tail;
    assert_eq!(world.log.tail_at_rest(Duration::ZERO).unwrap(), Address::new(FIRST));
    let Reserved::MustTurn { offset, .. } = tail.reserve(page) else { panic!("the page is not full") };
    let error = world.log.tail_at_rest(Duration::from_millis(1)).unwrap_err();
    assert_eq!((error.kind(), error.field("milliseconds waited").is_some()), (ErrorKind::Busy, true), "{error}");
    tail.give_back(0, offset);
    assert_eq!(world.log.tail_at_rest(Duration::ZERO).unwrap(), Address::new(FIRST));
}
