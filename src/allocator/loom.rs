//! Models of the log: the tail, the region boundaries with the real epoch, and the writing. Pages have 64 bytes here. The
//! header of each model says which changes were seen to break it.

use super::flush::WRITES_MAX;
use super::geometry::LogGeometry;
use super::hybrid_log::{Allocation, HybridLog, LogConfig};
use super::pointers::LogPointers;
use super::state::LogState;
use super::tail::{Reserved, Tail};
use crate::address::{Address, PageGeometry};
use crate::device::{CompletionSink, DeviceInfo, IoDone, IoOp, IoRequest, MemoryDisk, StorageDevice, Token};
use crate::epoch::{Guard, LightEpoch, Participant};
use crate::memory::AlignedBuf;
use crate::record::{Draft, RecordInfo, RecordLayout};
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering::Relaxed, Visible};
use loom::thread;

const PAGE: u64 = 64;
const RECORD: usize = RecordLayout::fixed(8, 8).planned_size();

fn tail() -> Tail {
    Tail::new(PageGeometry::new(6).unwrap(), Address::new(PAGE))
}

/// Space for one record, whoever has to turn the page for it. The first to be told so while `refuse` is set gives the
/// turn back.
fn reserve(tail: &Tail, refuse: &AtomicBool, turns: &AtomicU64) -> u64 {
    loop {
        match tail.reserve(RECORD as u64) {
            Reserved::At(address) => return address.get(),
            Reserved::MustTurn { page, offset } if refuse.swap(false, Relaxed) => tail.give_back(page, offset),
            Reserved::MustTurn { page, .. } => {
                turns.fetch_add(1, Relaxed);
                return tail.turn(page + 1, RECORD as u64).get();
            }
            Reserved::Full => {}
        }
        thread::yield_now();
    }
}

/// L6: three threads reserve on a page with room for two. Once the page is turned at the first attempt, once the turn is
/// given back first.
///
/// Broken by: a load and a store in place of the addition in `reserve`; telling everyone who comes too late to turn; a
/// turn that does not reserve for its caller.
#[test]
fn each_reservation_has_its_own_place_and_one_thread_turns_the_page() {
    for refused_once in [false, true] {
        loom::model(move || {
            let (tail, refuse) = (Arc::new(tail()), Arc::new(AtomicBool::new(refused_once)));
            let turns = Arc::new(AtomicU64::new(0));
            let reserving = || {
                let (tail, refuse, turns) = (Arc::clone(&tail), Arc::clone(&refuse), Arc::clone(&turns));
                thread::spawn(move || reserve(&tail, &refuse, &turns))
            };
            let others = [reserving(), reserving()];
            let mut places = vec![reserve(&tail, &refuse, &turns)];
            places.extend(others.map(|other| other.join().unwrap()));
            places.sort_unstable();
            assert_eq!(places, [PAGE, PAGE + RECORD as u64, 2 * PAGE]);
            assert_eq!(turns.load(Relaxed), 1, "a page is turned once");
            assert_eq!(tail.address().get(), 2 * PAGE + RECORD as u64);
        });
    }
}

/// L6: a block is closed while others reserve. No reservation lies on both sides of the boundary, none is lost, and what
/// was there before lies below.
///
/// Broken by: a store in place of the compare-and-swap in `close_block`; closing also while a page is being turned.
#[test]
fn a_closed_block_cuts_through_no_reservation() {
    loom::model(|| {
        let (tail, refuse) = (Arc::new(tail()), Arc::new(AtomicBool::new(false)));
        let turns = Arc::new(AtomicU64::new(0));
        let first = reserve(&tail, &refuse, &turns);
        let other = {
            let (tail, refuse, turns) = (Arc::clone(&tail), Arc::clone(&refuse), Arc::clone(&turns));
            thread::spawn(move || [reserve(&tail, &refuse, &turns), reserve(&tail, &refuse, &turns)])
        };
        let closed = tail.close_block(|offset| offset.next_multiple_of(40).min(PAGE)).map(|(_, to)| to);
        let last = reserve(&tail, &refuse, &turns);
        let [second, third] = other.join().unwrap();
        let mut places = [first, second, third, last];
        places.sort_unstable();
        if let Some(closed) = closed {
            let cuts = |at: &u64| *at < closed.get() && at + RECORD as u64 > closed.get();
            assert!(!places.iter().any(cuts), "{closed} cuts through one of {places:x?}");
            assert!(first < closed.get() && last >= closed.get(), "{first:x} {closed} {last:x}");
        }
        assert!(places.windows(2).all(|two| two[0] + RECORD as u64 <= two[1]), "two at one place: {places:x?}");
        assert_eq!(tail.address().get(), places[3] + RECORD as u64, "the tail is where the last one ends");
    });
}

/// L1: all boundaries move on, one after the other, while another thread reads them.
///
/// Broken by: reading a higher boundary before a lower one; a relaxed load or a relaxed move of a boundary.
#[test]
fn boundaries_are_seen_in_order_while_they_move() {
    loom::model(|| {
        let pointers = Arc::new(LogPointers::at(&LogState::empty(1)));
        let moving = {
            let pointers = Arc::clone(&pointers);
            thread::spawn(move || {
                let to = Address::new(2 * PAGE);
                pointers.advance_read_only(to);
                pointers.advance_safe_read_only(to);
                pointers.advance_flushed(to);
                pointers.advance_head(to);
                pointers.advance_safe_head(to);
            })
        };
        let at = pointers.snapshot(|| Address::new(2 * PAGE));
        let in_order = [at.begin, at.safe_head, at.head, at.flushed, at.safe_read_only, at.read_only, at.tail];
        assert!(in_order.is_sorted(), "{at:?}");
        moving.join().unwrap();
    });
}

fn log(epoch: &Arc<LightEpoch>, device: Arc<dyn StorageDevice>) -> HybridLog {
    let geometry = LogGeometry::new(6, 4, 0.0).unwrap();
    let config =
        LogConfig { geometry, generation: 1, record_size: RECORD, volatile: false, read_buffers: 1, spares: 0 };
    HybridLog::new(config, Arc::clone(epoch), device).unwrap()
}

/// Takes `len` bytes for one record, whose key and value are its address.
fn append(log: &HybridLog, len: usize, guard: &Guard<'_>) -> Option<Address> {
    let Ok(Allocation::At(address)) = log.allocate(len, guard) else { return None };
    let record = log.space(address, RECORD, guard);
    assert_eq!(record.info(), RecordInfo::default(), "L5: a page that opens is empty");
    record.write::<u64, u64>(RecordInfo::new(Address::INVALID, 0), Draft::new(&address.get(), &address.get()));
    Some(address)
}

/// Appends a whole page, and does what a session does between operations.
fn append_page(log: &HybridLog, participant: &mut Participant) -> Address {
    let appended = append(log, PAGE as usize, &participant.pin());
    log.core.epoch.drain();
    appended.unwrap()
}

fn assert_whole(log: &HybridLog, address: Address, guard: &Guard<'_>) {
    let record = log.space(address, RECORD, guard);
    assert!(record.info().is_present(), "a wiped record");
    assert!(record.key_is::<u64, u64>(&address.get()), "another record");
    assert_eq!(record.value::<u64, u64>().unwrap(), address.get());
}

/// L3, L5: a page is turned, which moves head, and a further page needs the frame that head has passed. A reader that is
/// pinned and found its record at or above head sees this record until it unpins; the new page opens empty, and nobody
/// wipes it afterwards.
///
/// Broken by: closing frames when head moves instead of when that is safe; advancing safe head before the frames are
/// wiped; bumping before head is moved; opening pages up to head instead of safe head; reading head before the pin.
#[test]
fn a_pinned_reader_never_sees_a_wiped_or_reused_frame() {
    loom::model(|| {
        let epoch = LightEpoch::new();
        let log = Arc::new(log(&epoch, Arc::new(MemoryDisk::new())));
        let mut participant = epoch.join();
        let oldest = append_page(&log, &mut participant);
        for _ in 0..2 {
            append_page(&log, &mut participant);
        }
        assert_eq!(log.addresses().head, oldest, "nothing has been evicted yet");
        let reader = {
            let (log, mut participant) = (Arc::clone(&log), epoch.join());
            thread::spawn(move || {
                let guard = participant.pin();
                if oldest >= log.addresses().head {
                    assert_whole(&log, oldest, &guard);
                }
                drop(guard);
                if participant.epoch().has_pending() {
                    participant.epoch().drain();
                }
            })
        };
        append_page(&log, &mut participant);
        let reused = append(&log, PAGE as usize, &participant.pin());
        reader.join().unwrap();
        epoch.drain();
        if let Some(address) = reused {
            assert_eq!(address.get(), oldest.get() + 4 * PAGE);
            assert_whole(&log, address, &participant.pin());
        }
        assert!(log.addresses().head > oldest);
    });
}

/// L13: the memory of free frames is given back while another thread opens the page of one of them and fills it. What was written
/// there stays.
///
/// Broken by: opening a page without the lock; giving back the frame of the page at the tail; looking at the tail before the lock.
#[test]
fn no_frame_is_given_back_in_which_a_page_was_opened() {
    loom::model(|| {
        let epoch = LightEpoch::new();
        let log = Arc::new(log(&epoch, Arc::new(MemoryDisk::new())));
        let mut participant = epoch.join();
        append_page(&log, &mut participant);
        let giving_back = {
            let log = Arc::clone(&log);
            thread::spawn(move || log.discard_free())
        };
        let appended = append(&log, RECORD, &participant.pin()).unwrap();
        giving_back.join().unwrap();
        assert_whole(&log, appended, &participant.pin());
    });
}

/// L5: a frame is emptied by one thread, its next page opened by another, and a third one is given space on it.
///
/// Broken by: a relaxed exchange in `Tail::turn`; a relaxed addition in `Tail::reserve`.
#[test]
fn a_page_is_empty_to_everyone_who_is_given_space_on_it() {
    loom::model(|| {
        let epoch = LightEpoch::new();
        let log = Arc::new(log(&epoch, Arc::new(MemoryDisk::new())));
        let (mut participant, mut other) = (epoch.join(), epoch.join());
        for _ in 0..3 {
            append_page(&log, &mut participant);
        }
        append(&log, PAGE as usize, &participant.pin()).unwrap();
        let appending = {
            let log = Arc::clone(&log);
            thread::spawn(move || append(&log, RECORD, &other.pin()))
        };
        let emptying = {
            let epoch = Arc::clone(&epoch);
            thread::spawn(move || {
                epoch.drain();
            })
        };
        let here = append(&log, RECORD, &participant.pin());
        let there = appending.join().unwrap();
        emptying.join().unwrap();
        assert!(here.is_none() || here != there, "two at one place");
        for address in [here, there].into_iter().flatten() {
            assert_whole(&log, address, &participant.pin());
        }
    });
}

/// L2: the tail is closed while somebody may be changing the last record in place. What was changed under a pin that saw
/// the record as mutable is on the device once it is written.
///
/// Broken by: advancing safe read-only when read-only moves instead of when that is safe; bumping before read-only is
/// moved; writing up to read-only.
#[test]
fn a_change_in_place_is_part_of_what_is_written() {
    loom::model(|| {
        let epoch = LightEpoch::new();
        let log = Arc::new(log(&epoch, Arc::new(MemoryDisk::new())));
        let mut participant = epoch.join();
        let address = append(&log, PAGE as usize, &participant.pin()).unwrap();
        let changer = {
            let (log, mut participant) = (Arc::clone(&log), epoch.join());
            thread::spawn(move || {
                let guard = participant.pin();
                let may = address >= log.mutable_from();
                if may {
                    log.space(address, RECORD, &guard).set_value::<u64, u64>(&7u64, Visible::Now);
                }
                drop(guard);
                if participant.epoch().has_pending() {
                    participant.epoch().drain();
                }
                may
            })
        };
        let closed = log.close_tail().unwrap();
        log.help();
        let changed = changer.join().unwrap();
        epoch.drain();
        assert_eq!(log.addresses().flushed, closed);
        let request = log.with_buffer(log.fetch_request(address, RECORD));
        let queue = crate::device::CompletionQueue::new();
        log.device().submit(request, Arc::clone(&queue) as Arc<dyn CompletionSink>, 0);
        let done = queue.try_take().unwrap().1;
        let written = log.fetched(address, RECORD, done, RecordLayout::parse::<u64, u64>).unwrap();
        assert_eq!(written.value, Some(if changed { 7 } else { address.get() }), "a change that was lost");
    });
}

type Submitted = (IoRequest, Arc<dyn CompletionSink>, Token);

/// A device that finishes writes when it is told to, and syncs at once.
struct Deferred {
    waiting: Mutex<Vec<Submitted>>,
    /// The blocks at which writes began, in the order of their submission.
    submitted: Mutex<Vec<u64>>,
    syncs: AtomicU64,
}

impl Deferred {
    fn new() -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::new(Vec::new()), submitted: Mutex::new(Vec::new()), syncs: AtomicU64::new(0) })
    }

    /// Finishes the oldest write that is under way.
    fn finish_one(&self) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.is_empty() {
            return false;
        }
        let (request, sink, token) = waiting.remove(0);
        drop(waiting);
        let len = request.len;
        sink.complete(token, request.done(Ok(len)));
        true
    }
}

impl StorageDevice for Deferred {
    fn info(&self) -> DeviceInfo {
        DeviceInfo::new(AlignedBuf::ALIGN)
    }

    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        if request.op == IoOp::Sync {
            self.syncs.fetch_add(1, Relaxed);
            return sink.complete(token, request.done(Ok(0)));
        }
        assert_eq!(request.op, IoOp::Write);
        self.submitted.lock().push(request.offset / AlignedBuf::ALIGN as u64);
        self.waiting.lock().push((request, sink, token));
    }
}

/// Lets everything below `page` be written.
fn make_immutable(log: &HybridLog, page: u64) {
    let to = log.geometry().page().start_of(page);
    log.core.pointers.advance_read_only(to);
    log.core.pointers.advance_safe_read_only(to);
}

/// One block per page: as many writes as may be under way are, when two of them finish on two threads while a third one
/// makes a further page immutable. Each thread pumps or leaves it to another; when all have returned, as many writes are
/// under way again, each block was submitted once, and in order.
///
/// Broken by: clearing `pumping` outside the lock; pumping without the role; reading safe read-only before the lock.
#[test]
fn whoever_pumps_no_write_is_left_out_or_issued_twice() {
    loom::model(|| {
        let (epoch, device) = (LightEpoch::new(), Deferred::new());
        let log = Arc::new(log(&epoch, Arc::clone(&device) as Arc<dyn StorageDevice>));
        let at_once = WRITES_MAX as u64;
        make_immutable(&log, at_once + 1);
        log.core.pump();
        assert!(device.submitted.lock().iter().copied().eq(0..at_once));
        let finishing = {
            let device = Arc::clone(&device);
            thread::spawn(move || assert!(device.finish_one()))
        };
        make_immutable(&log, at_once + 2);
        log.core.pump();
        assert!(device.finish_one());
        finishing.join().unwrap();
        assert!(device.submitted.lock().iter().copied().eq(0..at_once + 2));
        assert_eq!(log.addresses().flushed, log.geometry().page().start_of(2));
        while device.finish_one() {}
        assert_eq!(log.addresses().flushed, log.geometry().page().start_of(at_once + 2));
    });
}

/// A log with two pages to be written: one is, and the write of the other is being finished by a thread.
fn being_written() -> (Arc<HybridLog>, Arc<Deferred>, thread::JoinHandle<()>) {
    let (epoch, device) = (LightEpoch::new(), Deferred::new());
    let log = Arc::new(log(&epoch, Arc::clone(&device) as Arc<dyn StorageDevice>));
    make_immutable(&log, 2);
    log.core.pump();
    assert!(device.finish_one());
    let finishing = Arc::clone(&device);
    (log, device, thread::spawn(move || assert!(finishing.finish_one())))
}

/// L4: head is asked for while the write that it has to wait for finishes. Nobody asks again, and head gets there.
///
/// Broken by: no fence in `shift_head`.
#[test]
fn a_wish_for_head_and_the_end_of_a_write_do_not_miss_each_other() {
    loom::model(|| {
        let (log, _device, finishing) = being_written();
        let wanted = log.geometry().page().start_of(2);
        log.evict_until(wanted);
        finishing.join().unwrap();
        assert_eq!(log.addresses().head, wanted);
    });
}

/// L10: somebody wants durable what another thread is finishing the write of. There is one sync, after the write, and who waits is told.
///
/// Broken by: planning the sync after a look at how far it is written; syncs that begin before `flushed` has moved.
#[test]
fn a_sync_begins_when_its_writes_are_finished() {
    loom::model(|| {
        let (log, device, finishing) = being_written();
        let end = log.geometry().page().start_of(2);
        log.make_durable_below(end, std::time::Duration::from_secs(3600), || Ok(())).unwrap();
        assert_eq!((log.durable(), device.syncs.load(Relaxed)), (end, 1));
        finishing.join().unwrap();
    });
}

/// A device that finishes everything at once, and may take writes through.
struct Prompt {
    takes_through: bool,
    /// Blocks that were written, in this order, and how many of them are synced; those that were written through.
    written: Mutex<(Vec<u64>, usize)>,
    through: Mutex<Vec<u64>>,
}

impl Prompt {
    fn is_durable(&self, block: u64) -> bool {
        let written = self.written.lock();
        written.0[..written.1].contains(&block) || self.through.lock().contains(&block)
    }
}

impl StorageDevice for Prompt {
    fn info(&self) -> DeviceInfo {
        DeviceInfo::new(AlignedBuf::ALIGN)
    }

    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        let mut written = self.written.lock();
        match request.op {
            IoOp::Sync => written.1 = written.0.len(),
            _ => written.0.push(request.offset / AlignedBuf::ALIGN as u64),
        }
        drop(written);
        let len = request.len;
        sink.complete(token, request.done(Ok(len)));
    }

    fn write_through(&self, request: IoRequest, _: std::time::Duration) -> Result<IoDone, IoRequest> {
        if !self.takes_through {
            return Err(request);
        }
        self.through.lock().push(request.offset / AlignedBuf::ALIGN as u64);
        let len = request.len;
        Ok(request.done(Ok(len)))
    }
}

/// L15: one thread makes two pages durable, then one more and then two, of a block each, while another makes four of them immutable and
/// has them written. Whatever is called durable is, and each block was written once.
///
/// Broken by: keeping a write behind one that was not synced; keeping it on after it was taken.
#[test]
fn what_was_written_through_was_all_that_was_not_durable() {
    for takes_through in [true, false] {
        loom::model(move || {
            let device =
                Prompt { takes_through, written: Mutex::new((Vec::new(), 0)), through: Mutex::new(Vec::new()) };
            let (epoch, device) = (LightEpoch::new(), Arc::new(device));
            let log = Arc::new(log(&epoch, Arc::clone(&device) as Arc<dyn StorageDevice>));
            let writing = {
                let log = Arc::clone(&log);
                thread::spawn(move || {
                    make_immutable(&log, 4);
                    log.core.pump();
                })
            };
            for pages in [2, 3, 5] {
                let end = log.geometry().page().start_of(pages);
                log.make_durable_below(end, std::time::Duration::from_secs(3600), || Ok(())).unwrap();
                assert!(log.durable() >= end);
                // What lies before the first record counts as durable from the beginning.
                assert!((1..pages).all(|block| device.is_durable(block)), "the first {pages}");
            }
            writing.join().unwrap();
            let mut all = [device.written.lock().0.clone(), device.through.lock().clone()].concat();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3, 4], "each block once");
        });
    }
}
