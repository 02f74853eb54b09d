//! Checkpoints to test with: manifests, and the files and blocks that belong to them.

use crate::address::Address;
use crate::allocator::{BLOCK_PAYLOAD, BLOCK_SIZE, bind, seal};
use crate::checkpoint::block_map::BlockMap;
use crate::checkpoint::check::generation_at;
use crate::checkpoint::file_name::binding_of;
use crate::checkpoint::{
    Aborted, CheckpointKind, CheckpointToken, Generation, IndexPart, LogPart, Manifest, Piece, Schema, SessionCut,
};
use crate::device::{CompletionQueue, IoRequest, MemoryDisk, StorageDevice};
use crate::directory::Directory;
use crate::memory::AlignedBuf;
use crate::record::RecordInfo;
use crate::utility::KeyHash;
use proptest::prelude::*;
use std::sync::Arc;

/// Pages of 4 KiB: a block of 4,088 bytes, and one of 8.
pub(in crate::checkpoint) const SCHEMA: Schema =
    Schema { key_size: Some(8), value_size: Some(8), expires: false, page_bits: 12, key_hash: KeyHash::ID };
const RECORD: u64 = 24;
/// Two records of the pages of this log are left out of its state, one is a tombstone, one invalid.
pub(in crate::checkpoint) const ABORTED_STAMP: u16 = 4;
const IMAGE_GENERATION: u32 = 70;

fn at(address: u64) -> Address {
    Address::new(address)
}

pub(in crate::checkpoint) fn generation(from: u64, generation: u32) -> Generation {
    Generation { from: at(from), generation }
}

fn piece(from: u64, to: u64, file: Option<String>) -> Piece {
    Piece { from: at(from), to: at(to), file }
}

pub(in crate::checkpoint) fn token(number: u128) -> CheckpointToken {
    CheckpointToken::new(number)
}

fn image(number: u128, replay_from: u64, complete_at: u64) -> IndexPart {
    IndexPart {
        file: token(number).index_file(),
        bytes: 2 * BLOCK_SIZE as u64,
        generation: IMAGE_GENERATION,
        buckets: 64,
        overflow_buckets: 1,
        replay_from: at(replay_from),
        complete_at: at(complete_at),
        generations: vec![generation(0, 7)],
    }
}

/// A snapshot of version 3 with the token `number`: two pages on the device, one in its file, and an image.
pub(in crate::checkpoint) fn snapshot(number: u128) -> Manifest {
    Manifest {
        token: token(number),
        kind: CheckpointKind::Snapshot,
        version: 3,
        created: 1_750_000_000_000,
        base: None,
        schema: SCHEMA,
        log: Some(LogPart {
            begin: at(64),
            start: at(8192),
            end: at(12_280),
            buckets: 64,
            pieces: vec![piece(0, 8192, None), piece(8192, 12_280, Some(token(number).log_file()))],
            generations: vec![generation(0, 7), generation(4096, 8)],
            aborted: vec![Aborted { from: at(8192), to: at(12_280), stamp: ABORTED_STAMP }],
            closed: Some(at(64)),
            durable: false,
        }),
        index: Some(image(number, 64, 4096)),
        sessions: vec![SessionCut { guid: u128::MAX, serial: u64::MAX }, SessionCut { guid: 5, serial: 17 }],
    }
}

/// An increment to the snapshot `base`, of a later version, without an image of its own.
pub(in crate::checkpoint) fn increment(number: u128, base: u128) -> Manifest {
    let mut manifest = snapshot(base);
    manifest.token = token(number);
    manifest.kind = CheckpointKind::Incremental;
    manifest.base = Some(token(base));
    manifest.version += 1;
    manifest.created += 1000;
    manifest.index = None;
    let log = manifest.log.as_mut().unwrap();
    log.pieces.push(piece(12_280, 16_384, Some(token(number).log_file())));
    (log.start, log.end) = (at(12_280), at(16_384));
    manifest
}

/// A fold-over without an image whose log is all on the device.
pub(in crate::checkpoint) fn fold_over(number: u128, version: u64, end: u64) -> Manifest {
    let mut manifest = snapshot(number);
    manifest.kind = CheckpointKind::FoldOver;
    manifest.version = version;
    manifest.created += version * 1000;
    manifest.index = None;
    let log = manifest.log.as_mut().unwrap();
    log.pieces = vec![piece(0, end, None)];
    (log.start, log.end) = (at(end), at(end));
    log.generations.truncate(1);
    log.aborted.clear();
    manifest
}

/// A checkpoint of the index alone.
pub(in crate::checkpoint) fn index(number: u128) -> Manifest {
    let mut manifest = snapshot(number);
    manifest.kind = CheckpointKind::Index;
    manifest.log = None;
    manifest.sessions.clear();
    manifest
}

/// The log that all samples are cuts of, block by block: pages full of records, sealed with the generation of `table`.
fn log_block(map: BlockMap, table: &[Generation], block: u64) -> Vec<u8> {
    let (start, len) = (map.start_of(block).get(), map.len_of(block));
    let mut bytes = vec![0; BLOCK_SIZE];
    for offset in (0..len).step_by(8) {
        let address = start + offset;
        let page_offset = map.page_offset(at(address));
        let first = if address < map.page_size() { 64 } else { 0 };
        if page_offset < first {
            continue;
        }
        let record = address - (page_offset - first) % RECORD;
        // What does not fit on the page is left empty.
        if map.page_offset(at(record)) + RECORD > map.page_size() {
            continue;
        }
        let word = match (address - record) / 8 {
            0 => header(record).word(),
            field => record * 10 + field,
        };
        bytes[offset as usize..offset as usize + 8].copy_from_slice(&word.to_le_bytes());
    }
    seal(&mut bytes, block, generation_at(table, at(start)).unwrap());
    bytes
}

fn header(record: u64) -> RecordInfo {
    let live = RecordInfo::new(at(record - RECORD.min(record)), 3);
    match record {
        88 => live.with_tombstone(),
        112 => RecordInfo::from_word(live.word() | 1 << 62),
        8216 | 8240 => RecordInfo::new(at(64), ABORTED_STAMP),
        _ => live,
    }
}

/// The blocks of a piece, as they lie in a file.
fn piece_bytes(manifest: &Manifest, piece: &Piece) -> Vec<u8> {
    let map = BlockMap::new(manifest.schema.page_bits).unwrap();
    let table = &manifest.log.as_ref().unwrap().generations;
    let binding = piece.file.as_deref().map_or(0, binding_of);
    let sealed = |number| {
        let mut block = log_block(map, table, number);
        bind(&mut block, number, binding);
        block
    };
    (map.block_of(piece.from)..map.block_of(piece.to)).flat_map(sealed).collect()
}

fn put(directory: &dyn Directory, name: &str, bytes: &[u8]) {
    directory.remove(name).unwrap();
    let file = directory.create(name).unwrap();
    file.write_at(0, bytes).unwrap();
    file.sync().unwrap();
}

/// Writes the files that a manifest names as its own, but not the manifest.
pub(in crate::checkpoint) fn write_files(directory: &dyn Directory, manifest: &Manifest) {
    let own = manifest.token.log_file();
    for piece in manifest.log.iter().flat_map(|log| &log.pieces).filter(|piece| piece.file.as_ref() == Some(&own)) {
        put(directory, &own, &piece_bytes(manifest, piece));
    }
    if let Some(part) = manifest.index.as_ref().filter(|part| part.file == manifest.token.index_file()) {
        let block = |number| {
            let mut bytes = vec![number as u8; BLOCK_SIZE];
            seal(&mut bytes, number, part.generation);
            bytes
        };
        put(directory, &part.file, &(0..part.bytes / BLOCK_SIZE as u64).flat_map(block).collect::<Vec<_>>());
    }
}

/// Writes what a manifest keeps on the device.
pub(in crate::checkpoint) fn write_device(device: &dyn StorageDevice, manifest: &Manifest) {
    let map = BlockMap::new(manifest.schema.page_bits).unwrap();
    let pieces = manifest.log.iter().flat_map(|log| &log.pieces);
    for piece in pieces.filter(|piece| piece.file.is_none()) {
        write_bytes(device, map.block_of(piece.from) * BLOCK_SIZE as u64, &piece_bytes(manifest, piece));
    }
}

/// Writes whole blocks to a device.
pub(in crate::checkpoint) fn write_bytes(device: &dyn StorageDevice, offset: u64, bytes: &[u8]) {
    let mut buf = AlignedBuf::zeroed(bytes.len());
    buf.copy_from_slice(bytes);
    let queue = CompletionQueue::new();
    device.submit(IoRequest::write(offset, bytes.len(), buf), Arc::clone(&queue) as _, 1);
    queue.take_within(std::time::Duration::from_secs(30)).unwrap().1.result.unwrap();
}

/// A device that holds what these checkpoints keep there.
pub(in crate::checkpoint) fn device(manifests: &[&Manifest]) -> MemoryDisk {
    let device = MemoryDisk::new();
    manifests.iter().for_each(|manifest| write_device(&device, manifest));
    device
}

/// The bytes of a file.
pub(in crate::checkpoint) fn bytes_of(directory: &dyn Directory, name: &str) -> Vec<u8> {
    let file = directory.open(name).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
    bytes
}

/// Puts other bytes in the place of a file's.
pub(in crate::checkpoint) fn replace(directory: &dyn Directory, name: &str, bytes: &[u8]) {
    put(directory, name, bytes);
}

prop_compose! {
    /// Any manifest that follows the rules.
    pub(in crate::checkpoint) fn any_manifest()(
        (number, kind, version, created) in (any::<u128>(), 0usize..4, any::<u64>(), any::<u64>()),
        base in prop::option::of(any::<u128>()),
        (page_bits, key_size, value_size, expires) in (12u32..=30, proptest::option::of(0u32..1000), proptest::option::of(0u32..1000), any::<bool>()),
        cuts in prop::collection::btree_set(1u64..1 << 18, 3..8),
        in_file in prop::collection::vec(any::<bool>(), 8),
        generations in prop::collection::vec(any::<u32>(), 3),
        stamps in prop::collection::vec(0u16..1024, 0..3),
        image in prop::option::of((any::<u32>(), 1u64..1000, 0u32..40, any::<u64>())),
        sessions in prop::collection::btree_map(any::<u128>(), any::<u64>(), 0..20),
    ) -> Manifest {
        let kinds =
            [CheckpointKind::Index, CheckpointKind::FoldOver, CheckpointKind::Snapshot, CheckpointKind::Incremental];
        let kind = kinds[kind];
        let is_index = kind == CheckpointKind::Index;
        let map = BlockMap::new(page_bits).unwrap();
        let cuts: Vec<Address> = cuts.into_iter().map(|block| map.start_of(block)).collect();
        let (first, last) = (cuts[0], cuts[cuts.len() - 1]);
        let base = match kind {
            CheckpointKind::Index => None,
            CheckpointKind::Incremental => Some(token(base.unwrap_or(0))),
            _ => base.map(token),
        };
        let base = base.map(|base| if base.get() == number { token(!number) } else { base });
        let table: Vec<Generation> = std::iter::once(at(0)).chain(cuts[1..].iter().copied())
            .zip(&generations).map(|(from, generation)| Generation { from, generation: *generation }).collect();
        let begin = at(first.get().max(64).next_multiple_of(8));
        let pieces = cuts.windows(2).enumerate().map(|(index, pair)| {
            let file = base.filter(|_| in_file[index]).map(|base| token(base.get().wrapping_add(index as u128 + 1)).log_file());
            Piece { from: pair[0], to: pair[1], file: file.filter(|file| *file != token(number).log_file()) }
        });
        let log = LogPart {
            begin,
            start: begin,
            end: last,
            buckets: 1 << 7,
            pieces: pieces.collect(),
            generations: table.clone(),
            aborted: stamps.iter().enumerate().map(|(index, stamp)| Aborted {
                from: at(begin.get() + index as u64 * 8),
                to: at(begin.get() + index as u64 * 8 + 8),
                stamp: *stamp,
            }).collect(), closed: in_file[0].then_some(begin), durable: false };
        let image = image.or(is_index.then_some((1, 1, 1, 1)));
        let index = image.map(|(generation, blocks, buckets, overflow_buckets)| IndexPart {
            file: token(number).index_file(),
            bytes: blocks * BLOCK_SIZE as u64,
            generation,
            buckets: 1 << buckets,
            overflow_buckets,
            replay_from: begin,
            complete_at: last,
            generations: table,
        });
        Manifest {
            token: token(number),
            kind,
            version,
            created,
            base,
            schema: Schema { key_size, value_size, expires, page_bits, key_hash: KeyHash::ID },
            log: (!is_index).then_some(log),
            index,
            sessions: sessions.into_iter().map(|(guid, serial)| SessionCut { guid, serial }).collect(),
        }
    }
}

const _: () = assert!(BLOCK_PAYLOAD as u64 == 4088, "the addresses above are block boundaries");
