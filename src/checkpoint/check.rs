//! What must hold within a manifest, whoever wrote it.

use super::block_map::BlockMap;
use super::file_name::{FileName, Role};
use super::manifest::{Aborted, CheckpointKind, Generation, IndexPart, LogPart, Manifest, Piece, Schema};
use crate::address::Address;
use crate::allocator::{BLOCK_SIZE, FIRST};
use crate::error::{Error, ErrorKind};
use crate::utility::KeyHash;
use std::collections::HashSet;
use std::fmt::{Debug, Display};

/// Stamps have the bits of [`RecordInfo::version`](crate::record::RecordInfo::version).
const STAMPS: u16 = 1 << 10;

/// The field that breaks a rule.
#[derive(Debug)]
pub(super) struct Fault {
    kind: ErrorKind,
    rule: &'static str,
    field: String,
    value: String,
}

impl Fault {
    /// As an error of those who read the manifest.
    pub(super) fn into_error(self) -> Error {
        Error::new(self.kind, self.rule).with("field", self.field).with("value", self.value)
    }
}

type Checked = Result<(), Fault>;

/// Names the field unless the rule holds. Nothing is formatted if it does.
fn demand(holds: bool, field: impl Display, rule: &'static str, value: impl Debug) -> Checked {
    if holds {
        return Ok(());
    }
    Err(Fault { kind: ErrorKind::Corrupt, rule, field: field.to_string(), value: format!("{value:?}") })
}

/// All rules, in the order of `docs/format.md`.
pub(super) fn check(manifest: &Manifest) -> Checked {
    parts(manifest)?;
    let map = schema(&manifest.schema)?;
    if let Some(log_part) = &manifest.log {
        log(manifest, log_part, map)?;
    }
    if let Some(index_part) = &manifest.index {
        index(manifest, index_part, map)?;
    }
    let mut guids = HashSet::with_capacity(manifest.sessions.len());
    manifest.sessions.iter().enumerate().try_for_each(|(at, session)| {
        demand(guids.insert(session.guid), format_args!("sessions[{at}].guid"), "a session is named twice", session)
    })
}

/// Which parts a checkpoint of this kind has.
fn parts(manifest: &Manifest) -> Checked {
    let Manifest { kind, base, token, .. } = manifest;
    let is_index = *kind == CheckpointKind::Index;
    demand(manifest.log.is_some() != is_index, "log", "every checkpoint but one of the index has a log", kind)?;
    demand(manifest.index.is_some() || !is_index, "index", "a checkpoint of the index has an image", kind)?;
    demand(base.is_some() || *kind != CheckpointKind::Incremental, "base", "an increment has a base", kind)?;
    demand(base.is_none() || !is_index, "base", "an image of the index has no base", base)?;
    demand(*base != Some(*token), "base", "a checkpoint is not its own base", base)
}

fn schema(schema: &Schema) -> Result<BlockMap, Fault> {
    let fault =
        |kind, rule, field: &str, value: u32| Fault { kind, rule, field: field.to_owned(), value: value.to_string() };
    let map = BlockMap::new(schema.page_bits).ok_or_else(|| {
        fault(ErrorKind::Corrupt, "the size of a page is out of range", "schema.page_bits", schema.page_bits)
    })?;
    let fits = schema.layout().record_size().is_none_or(|size| size as u64 <= map.page_size() - FIRST);
    demand(fits, "schema", "a record does not fit on a page", schema)?;
    if schema.key_hash != KeyHash::ID {
        let rule = "the keys were hashed by a function that this version does not know";
        return Err(fault(ErrorKind::Unsupported, rule, "schema.key_hash", schema.key_hash));
    }
    Ok(map)
}

fn log(manifest: &Manifest, log: &LogPart, map: BlockMap) -> Checked {
    demand(log.begin.get() >= FIRST, "log.begin", "no record lies below the first address", log.begin)?;
    demand(log.begin.get().is_multiple_of(8), "log.begin", "a record begins at a multiple of 8", log.begin)?;
    demand(log.begin <= log.start, "log.start", "the log's addresses are not in order", (log.begin, log.start))?;
    demand(log.start <= log.end, "log.end", "the log's addresses are not in order", (log.start, log.end))?;
    demand(map.is_boundary(log.end), "log.end", "a cut is not at a block boundary", log.end)?;
    let is_below_cut = log.closed.is_none_or(|closed| closed <= log.end);
    demand(is_below_cut, "log.closed", "the log's addresses are not in order", (log.closed, log.end))?;
    demand(log.buckets.is_power_of_two(), "log.buckets", "not a power of two", log.buckets)?;
    pieces(manifest, log, map)?;
    let first = log.pieces.first().map_or(log.begin, |piece| piece.from);
    generations("log.generations", &log.generations, map, first, log.end)?;
    log.aborted.iter().enumerate().try_for_each(|(at, range)| aborted(log, at, range))
}

fn pieces(manifest: &Manifest, log: &LogPart, map: BlockMap) -> Checked {
    let (Some(first), Some(last)) = (log.pieces.first(), log.pieces.last()) else {
        return demand(log.begin == log.end, "log.pieces", "no piece holds the log", (log.begin, log.end));
    };
    let covers_begin = first.from <= log.begin && log.begin < first.to;
    demand(covers_begin, "log.pieces[0]", "the first piece does not hold the first record", first)?;
    demand(last.to == log.end, "log.pieces", "the last piece does not end at the cut", last)?;
    let mut files = HashSet::new();
    for (at, piece) in log.pieces.iter().enumerate() {
        let field = |name: &str| format!("log.pieces[{at}].{name}");
        let follows = at == 0 || log.pieces[at - 1].to == piece.from;
        demand(
            follows,
            format_args!("log.pieces[{at}].from"),
            "a piece does not begin where the one before ends",
            piece,
        )?;
        demand(piece.from < piece.to, format_args!("log.pieces[{at}].to"), "a piece holds nothing", piece)?;
        let at_boundaries = map.is_boundary(piece.from) && map.is_boundary(piece.to);
        demand(at_boundaries, format_args!("log.pieces[{at}]"), "a piece is not cut at block boundaries", piece)?;
        if let Some(file) = &piece.file {
            piece_file(manifest, file, piece).map_err(|fault| Fault { field: field("file"), ..fault })?;
            demand(files.insert(file), format_args!("log.pieces[{at}].file"), "a file is named twice", file)?;
        }
    }
    Ok(())
}

fn piece_file(manifest: &Manifest, file: &str, piece: &Piece) -> Checked {
    let name = FileName::parse(file).filter(|name| name.role == Role::Log);
    let Some(name) = name else {
        return demand(false, "file", "not the name of a checkpoint's log file", piece);
    };
    let is_own = name.token == manifest.token;
    demand(is_own || manifest.base.is_some(), "file", "a file of another checkpoint without a base", piece)?;
    let kept_on_device = manifest.kind == CheckpointKind::FoldOver;
    demand(!(is_own && kept_on_device), "file", "a fold-over has no file of its own for the log", piece)
}

/// A table of generations that says for every address from `first` to `end` what its block carries.
fn generations(field: &str, table: &[Generation], map: BlockMap, first: Address, end: Address) -> Checked {
    let covers = table.first().is_some_and(|entry| entry.from <= first);
    demand(covers, field, "the first blocks have no generation", (table.first(), first))?;
    let ascending = |at: usize| at == 0 || table[at - 1].from < table[at].from;
    table.iter().enumerate().try_for_each(|(at, entry)| {
        demand(ascending(at), format_args!("{field}[{at}].from"), "generations are not in order", entry)?;
        demand(map.is_boundary(entry.from), format_args!("{field}[{at}].from"), "not a block boundary", entry)?;
        demand(entry.from <= end, format_args!("{field}[{at}].from"), "a generation begins behind the end", entry)
    })
}

fn aborted(log: &LogPart, at: usize, range: &Aborted) -> Checked {
    let follows = at == 0 || log.aborted[at - 1].to <= range.from;
    demand(follows, format_args!("log.aborted[{at}].from"), "aborted ranges are not in order", range)?;
    demand(range.from < range.to, format_args!("log.aborted[{at}].to"), "an aborted range holds nothing", range)?;
    let within = log.begin <= range.from && range.to <= log.end;
    demand(within, format_args!("log.aborted[{at}]"), "an aborted range lies outside of the log", range)?;
    demand(range.stamp < STAMPS, format_args!("log.aborted[{at}].stamp"), "no record carries this stamp", range)
}

fn index(manifest: &Manifest, index: &IndexPart, map: BlockMap) -> Checked {
    let name = FileName::parse(&index.file).filter(|name| name.role == Role::Index);
    let is_own = name.is_some_and(|name| name.token == manifest.token);
    demand(name.is_some(), "index.file", "not the name of an index image", &index.file)?;
    let may_share = manifest.kind != CheckpointKind::Index;
    demand(is_own || may_share, "index.file", "the image of another checkpoint", &index.file)?;
    let whole = index.bytes > 0 && index.bytes.is_multiple_of(BLOCK_SIZE as u64);
    demand(whole, "index.bytes", "an image does not consist of whole blocks", index.bytes)?;
    demand(index.buckets.is_power_of_two(), "index.buckets", "not a power of two", index.buckets)?;
    let (replay_from, complete_at) = (index.replay_from, index.complete_at);
    let ordered = FIRST <= replay_from.get() && replay_from <= complete_at;
    demand(ordered, "index.replay_from", "an image's addresses are not in order", (replay_from, complete_at))?;
    let Some(log) = &manifest.log else {
        return generations("index.generations", &index.generations, map, replay_from, complete_at);
    };
    demand(log.begin <= replay_from, "index.replay_from", "the image is older than the log", (log.begin, replay_from))?;
    demand(complete_at <= log.end, "index.complete_at", "the image is younger than the cut", (complete_at, log.end))?;
    generations("index.generations", &index.generations, map, log.begin, complete_at)?;
    let same = same_log(&index.generations, &log.generations, log.begin, complete_at);
    demand(same, "index.generations", "the image belongs to another log", &index.generations)
}

/// What the block at `address` carries, by `table`.
pub(super) fn generation_at(table: &[Generation], address: Address) -> Option<u32> {
    let behind = table.partition_point(|entry| entry.from <= address);
    table[..behind].last().map(|entry| entry.generation)
}

/// Whether two tables say the same of all addresses from `from` to below `to`: the log has one history there.
pub(super) fn same_log(one: &[Generation], other: &[Generation], from: Address, to: Address) -> bool {
    let changes = one.iter().chain(other).map(|entry| entry.from).filter(|at| from < *at && *at < to);
    let same_at = |at| {
        let carried = generation_at(one, at);
        carried.is_some() && carried == generation_at(other, at)
    };
    from >= to || same_at(from) && changes.into_iter().all(same_at)
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::super::tests::sample;
    use super::*;
    use crate::checkpoint::{CheckpointToken, SessionCut};

    /// Every rule is broken alone, and the fault names the field.
    #[test]
    fn every_rule_is_enforced_and_the_field_is_named() {
        type Change = fn(&mut Manifest);
        fn log(manifest: &mut Manifest) -> &mut LogPart {
            manifest.log.as_mut().unwrap()
        }
        fn index(manifest: &mut Manifest) -> &mut IndexPart {
            manifest.index.as_mut().unwrap()
        }
        let changes: [(&str, Change); 42] = [
            ("log", |m| m.log = None),
            ("log", |m| m.kind = CheckpointKind::Index),
            ("base", |m| m.kind = CheckpointKind::Incremental),
            ("base", |m| m.base = Some(m.token)),
            ("schema.page_bits", |m| m.schema.page_bits = 11),
            ("schema.page_bits", |m| m.schema.page_bits = 31),
            ("schema", |m| m.schema.value_size = Some(4096)),
            ("schema", |m| m.schema.key_size = Some(u32::MAX)),
            ("schema.key_hash", |m| m.schema.key_hash = 2),
            ("log.begin", |m| log(m).begin = Address::new(56)),
            ("log.begin", |m| log(m).begin = Address::new(65)),
            ("log.start", |m| log(m).start = Address::new(32)),
            ("log.end", |m| log(m).start = Address::MAX),
            ("log.end", |m| log(m).end = Address::new(log(m).end.get() + 16)),
            ("log.pieces", |m| log(m).pieces.clear()),
            ("log.pieces[0]", |m| log(m).pieces[0].from = Address::new(4088)),
            ("log.pieces", |m| drop(log(m).pieces.pop())),
            ("log.pieces[1].from", |m| log(m).pieces[1].from = Address::new(4088)),
            ("log.pieces[1].from", |m| log(m).pieces[0].to = Address::new(4088)),
            ("log.pieces[1].to", |m| {
                let piece = Piece { to: log(m).pieces[1].from, ..log(m).pieces[1].clone() };
                log(m).pieces.insert(1, piece);
            }),
            ("log.pieces[0]", |m| {
                log(m).pieces[0].to = Address::new(4080);
                log(m).pieces[1].from = Address::new(4080);
            }),
            ("log.pieces[1].file", |m| log(m).pieces[1].file = Some(format!("../{}", m.token.log_file()))),
            ("log.pieces[1].file", |m| log(m).pieces[1].file = Some(m.token.index_file())),
            ("log.pieces[1].file", |m| log(m).pieces[1].file = Some(CheckpointToken::new(99).log_file())),
            ("log.pieces[1].file", |m| m.kind = CheckpointKind::FoldOver),
            ("log.pieces[1].file", |m| log(m).pieces[0].file = Some(m.token.log_file())),
            ("log.generations", |m| log(m).generations.clear()),
            ("log.generations", |m| log(m).generations = log(m).generations.split_off(1)),
            ("log.generations[1].from", |m| log(m).generations[1].from = Address::new(0)),
            ("log.generations[1].from", |m| log(m).generations[1].from = Address::new(4080)),
            ("log.generations[1].from", |m| log(m).generations[1].from = Address::new(1 << 20)),
            ("log.aborted[0].to", |m| log(m).aborted[0].to = log(m).aborted[0].from),
            ("log.aborted[0]", |m| log(m).aborted[0].from = Address::new(56)),
            ("log.aborted[0]", |m| log(m).aborted[0].to = Address::MAX),
            ("log.aborted[0].stamp", |m| log(m).aborted[0].stamp = 1024),
            ("log.aborted[1].from", |m| {
                let twice = log(m).aborted[0];
                log(m).aborted.push(twice);
            }),
            ("index.file", |m| index(m).file = m.token.log_file()),
            ("index.bytes", |m| index(m).bytes = 4095),
            ("index.buckets", |m| index(m).buckets = 3),
            ("log.buckets", |m| log(m).buckets = 0),
            ("index.replay_from", |m| index(m).replay_from = Address::new(8192)),
            ("sessions[2].guid", |m| m.sessions.push(SessionCut { guid: m.sessions[0].guid, serial: 1 })),
        ];
        check(&sample::snapshot(1)).unwrap();
        for (at, (field, change)) in changes.iter().enumerate() {
            let mut manifest = sample::snapshot(1);
            change(&mut manifest);
            let fault = check(&manifest).expect_err(field);
            assert_eq!(fault.field, *field, "change {at}: {fault:?}");
            let kind = if *field == "schema.key_hash" { ErrorKind::Unsupported } else { ErrorKind::Corrupt };
            assert_eq!(fault.into_error().kind(), kind);
        }
    }

    #[test]
    fn an_image_of_another_log_is_not_part_of_a_checkpoint() {
        let mut manifest = sample::snapshot(1);
        let image = manifest.index.as_mut().unwrap();
        image.complete_at = Address::new(8192);
        assert_eq!(check(&manifest).unwrap_err().field, "index.generations", "the log changed its generation below");
        let image = manifest.index.as_mut().unwrap();
        image.generations = manifest.log.as_ref().unwrap().generations.clone();
        check(&manifest).unwrap();
        let mut manifest = sample::index(2);
        manifest.index.as_mut().unwrap().generations[0].from = Address::new(4088);
        assert_eq!(check(&manifest).unwrap_err().field, "index.generations");
    }

    #[test]
    fn logs_are_the_same_as_far_as_their_generations_are() {
        let table = |entries: &[(u64, u32)]| -> Vec<Generation> {
            entries
                .iter()
                .map(|(from, generation)| Generation { from: Address::new(*from), generation: *generation })
                .collect()
        };
        let long = table(&[(0, 7), (8192, 8), (16384, 9)]);
        let same = |other: &[(u64, u32)], from, to| {
            let (from, to) = (Address::new(from), Address::new(to));
            assert_eq!(same_log(&long, &table(other), from, to), same_log(&table(other), &long, from, to));
            same_log(&long, &table(other), from, to)
        };
        assert!(same(&[(0, 7)], 64, 8192), "they part where the range ends");
        assert!(!same(&[(0, 7)], 64, 8193));
        assert!(!same(&[(0, 7), (8192, 1)], 64, 16384));
        assert!(same(&[(8192, 8)], 8192, 16384), "the older part of a table is dropped when the log is truncated");
        assert!(!same(&[(8192, 8)], 64, 16384), "nobody knows what the other one was there");
    }
}
