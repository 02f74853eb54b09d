//! The body of a manifest, field by field as it stands in the file. Every field must be there, and no other.

use super::CheckpointToken;
use super::manifest::{Aborted, CheckpointKind, Generation, IndexPart, LogPart, Manifest, Piece, Schema, SessionCut};
use crate::address::Address;
use crate::error::{Error, ErrorKind, Result};
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    token: Hex,
    kind: Kind,
    version: u64,
    created: u64,
    #[serde(deserialize_with = "present")]
    base: Option<Hex>,
    schema: SchemaBody,
    #[serde(deserialize_with = "present")]
    log: Option<LogBody>,
    #[serde(deserialize_with = "present")]
    index: Option<IndexBody>,
    sessions: Vec<SessionBody>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Index,
    FoldOver,
    Snapshot,
    Incremental,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaBody {
    #[serde(deserialize_with = "present")]
    key_size: Option<u32>,
    #[serde(deserialize_with = "present")]
    value_size: Option<u32>,
    /// There only if it is true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    expires: bool,
    page_bits: u32,
    key_hash: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogBody {
    begin: u64,
    start: u64,
    end: u64,
    buckets: u64,
    pieces: Vec<PieceBody>,
    generations: Vec<GenerationBody>,
    aborted: Vec<AbortedBody>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed: Option<u64>,
    /// There only if it is true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    durable: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PieceBody {
    from: u64,
    to: u64,
    #[serde(deserialize_with = "present")]
    file: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GenerationBody {
    from: u64,
    generation: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AbortedBody {
    from: u64,
    to: u64,
    stamp: u16,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexBody {
    file: String,
    bytes: u64,
    generation: u32,
    buckets: u64,
    overflow_buckets: u64,
    replay_from: u64,
    complete_at: u64,
    generations: Vec<GenerationBody>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionBody {
    guid: Hex,
    serial: u64,
}

/// Without this, a field that is missing would pass for one that says `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// 128 bits as 32 digits: more than other readers of JSON take for a number.
struct Hex(u128);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&CheckpointToken::new(self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Hex;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("32 hexadecimal digits")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Hex, E> {
                // The text is not repeated: it may be long.
                let token = CheckpointToken::parse(text);
                token.map(|token| Hex(token.get())).ok_or_else(|| E::invalid_value(Unexpected::Other("a text"), &self))
            }
        }
        deserializer.deserialize_str(Digits)
    }
}

impl From<&Manifest> for Body {
    fn from(manifest: &Manifest) -> Self {
        let session = |cut: &SessionCut| SessionBody { guid: Hex(cut.guid), serial: cut.serial };
        let Schema { key_size, value_size, expires, page_bits, key_hash } = manifest.schema;
        Self {
            token: Hex(manifest.token.get()),
            kind: manifest.kind.into(),
            version: manifest.version,
            created: manifest.created,
            base: manifest.base.map(|token| Hex(token.get())),
            schema: SchemaBody { key_size, value_size, expires, page_bits, key_hash },
            log: manifest.log.as_ref().map(LogBody::from),
            index: manifest.index.as_ref().map(IndexBody::from),
            sessions: manifest.sessions.iter().map(session).collect(),
        }
    }
}

impl Body {
    /// The manifest that this is the body of; whether it makes sense is not looked at.
    pub(super) fn into_manifest(self) -> Result<Manifest> {
        let session = |body: SessionBody| SessionCut { guid: body.guid.0, serial: body.serial };
        let SchemaBody { key_size, value_size, expires, page_bits, key_hash } = self.schema;
        Ok(Manifest {
            token: CheckpointToken::new(self.token.0),
            kind: self.kind.into(),
            version: self.version,
            created: self.created,
            base: self.base.map(|hex| CheckpointToken::new(hex.0)),
            schema: Schema { key_size, value_size, expires, page_bits, key_hash },
            log: self.log.map(LogBody::into_part).transpose()?,
            index: self.index.map(IndexBody::into_part).transpose()?,
            sessions: self.sessions.into_iter().map(session).collect(),
        })
    }
}

impl From<CheckpointKind> for Kind {
    fn from(kind: CheckpointKind) -> Self {
        match kind {
            CheckpointKind::Index => Self::Index,
            CheckpointKind::FoldOver => Self::FoldOver,
            CheckpointKind::Snapshot => Self::Snapshot,
            CheckpointKind::Incremental => Self::Incremental,
        }
    }
}

impl From<Kind> for CheckpointKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Index => Self::Index,
            Kind::FoldOver => Self::FoldOver,
            Kind::Snapshot => Self::Snapshot,
            Kind::Incremental => Self::Incremental,
        }
    }
}

/// A number that came from a file, if it is an address.
fn address(number: u64) -> Result<Address> {
    if number <= Address::MAX.get() {
        return Ok(Address::from_word(number));
    }
    Err(Error::new(ErrorKind::Corrupt, "an address in a manifest has more than 48 bits").with("value", number))
}

fn generations(table: &[Generation]) -> Vec<GenerationBody> {
    table.iter().map(|entry| GenerationBody { from: entry.from.get(), generation: entry.generation }).collect()
}

fn table(bodies: Vec<GenerationBody>) -> Result<Vec<Generation>> {
    let entry = |body: GenerationBody| Ok(Generation { from: address(body.from)?, generation: body.generation });
    bodies.into_iter().map(entry).collect()
}

impl From<&LogPart> for LogBody {
    fn from(part: &LogPart) -> Self {
        let piece = |piece: &Piece| PieceBody { from: piece.from.get(), to: piece.to.get(), file: piece.file.clone() };
        let aborted = |range: &Aborted| AbortedBody { from: range.from.get(), to: range.to.get(), stamp: range.stamp };
        Self {
            begin: part.begin.get(),
            start: part.start.get(),
            end: part.end.get(),
            buckets: part.buckets,
            pieces: part.pieces.iter().map(piece).collect(),
            generations: generations(&part.generations),
            aborted: part.aborted.iter().map(aborted).collect(),
            closed: part.closed.map(Address::get),
            durable: part.durable,
        }
    }
}

impl LogBody {
    fn into_part(self) -> Result<LogPart> {
        let piece = |body: PieceBody| Ok(Piece { from: address(body.from)?, to: address(body.to)?, file: body.file });
        let aborted =
            |body: AbortedBody| Ok(Aborted { from: address(body.from)?, to: address(body.to)?, stamp: body.stamp });
        Ok(LogPart {
            begin: address(self.begin)?,
            start: address(self.start)?,
            end: address(self.end)?,
            buckets: self.buckets,
            pieces: self.pieces.into_iter().map(piece).collect::<Result<_>>()?,
            generations: table(self.generations)?,
            aborted: self.aborted.into_iter().map(aborted).collect::<Result<_>>()?,
            closed: self.closed.map(address).transpose()?,
            durable: self.durable,
        })
    }
}

impl From<&IndexPart> for IndexBody {
    fn from(part: &IndexPart) -> Self {
        Self {
            file: part.file.clone(),
            bytes: part.bytes,
            generation: part.generation,
            buckets: part.buckets,
            overflow_buckets: part.overflow_buckets,
            replay_from: part.replay_from.get(),
            complete_at: part.complete_at.get(),
            generations: generations(&part.generations),
        }
    }
}

impl IndexBody {
    fn into_part(self) -> Result<IndexPart> {
        Ok(IndexPart {
            file: self.file,
            bytes: self.bytes,
            generation: self.generation,
            buckets: self.buckets,
            overflow_buckets: self.overflow_buckets,
            replay_from: address(self.replay_from)?,
            complete_at: address(self.complete_at)?,
            generations: table(self.generations)?,
        })
    }
}
