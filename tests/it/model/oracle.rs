//! What a key may be, given what is known.
//!
//! A pending operation takes effect at one moment between its beginning and its completion, and nobody says when. So the
//! model keeps, for each key, every *world* that agrees with all that was observed: the value, and which pending
//! operations have taken effect with which outcome. An observation strikes worlds out; when none is left, the store lied.

use std::collections::BTreeMap;

/// The bytes of a value, or that the key is not there.
pub(super) type Content = Option<Vec<u8>>;

pub(super) type OpId = usize;

/// What an operation does to a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    Read,
    Upsert(Vec<u8>),
    Delete,
    Insert(Vec<u8>),
    /// Of values of this size, or of any.
    Rmw {
        seed: u8,
        veto: bool,
        size: Option<usize>,
    },
}

/// What an operation told its caller.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    Value(Content),
    Changed(bool),
    Nothing,
}

#[derive(Debug, Clone, PartialEq)]
struct World {
    content: Content,
    replies: BTreeMap<OpId, Reply>,
}

/// Everything that a key may be.
#[derive(Debug)]
pub(super) struct KeyModel {
    worlds: Vec<World>,
    pending: BTreeMap<OpId, Action>,
}

/// The largest value of any length: one with its key fits on the smallest page, with not much else.
const LENGTH_MAX: usize = 3900;

/// The length of a value of any length.
pub(super) fn length_of(seed: u8) -> usize {
    match seed % 8 {
        0 => 0,
        1..=4 => usize::from(seed) % 40,
        5 | 6 => 100 + usize::from(seed),
        _ => 1000 + 11 * usize::from(seed),
    }
}

/// What a read-modify-write makes of a value, which becomes shorter or longer, by a little or by much, if it can.
pub(super) fn change(bytes: &mut Vec<u8>, seed: u8, size: Option<usize>) {
    if size.is_none() {
        let len = match seed % 4 {
            0 => bytes.len(),
            1 => bytes.len() + 1 + usize::from(seed) % 12,
            2 => bytes.len() / 2,
            _ => bytes.len() + 300,
        };
        bytes.resize(len.min(LENGTH_MAX), seed);
    }
    mix(bytes, seed);
}

/// What becomes of each byte. Doing it twice, or on another value, gives something else.
pub(super) fn mix(bytes: &mut [u8], seed: u8) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = byte.wrapping_mul(31).wrapping_add(seed).wrapping_add(at as u8 | 1);
    }
}

impl Action {
    /// Seed and veto of a read-modify-write.
    pub(super) fn logic(&self) -> Option<(u8, bool)> {
        match self {
            Self::Rmw { seed, veto, .. } => Some((*seed, *veto)),
            _ => None,
        }
    }

    fn act(&self, content: &mut Content) -> Reply {
        match self {
            Self::Read => Reply::Value(content.clone()),
            Self::Upsert(value) => {
                *content = Some(value.clone());
                Reply::Nothing
            }
            Self::Delete => {
                *content = None;
                Reply::Nothing
            }
            Self::Insert(value) => {
                let absent = content.is_none();
                content.get_or_insert_with(|| value.clone());
                Reply::Changed(absent)
            }
            Self::Rmw { veto: true, .. } => Reply::Changed(false),
            Self::Rmw { seed, veto: false, size } => {
                change(content.get_or_insert_with(|| vec![0; size.unwrap_or(0)]), *seed, *size);
                Reply::Changed(true)
            }
        }
    }
}

impl KeyModel {
    pub(super) fn absent() -> Self {
        Self { worlds: vec![World { content: None, replies: BTreeMap::new() }], pending: BTreeMap::new() }
    }

    /// Pending operations on the key.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// What the key may be, counted.
    pub(super) fn worlds(&self) -> usize {
        self.worlds.len()
    }

    /// An operation ran to its end and replied.
    pub(super) fn ran(&mut self, action: &Action, reply: &Reply) -> Result<(), String> {
        self.keep(|world| action.act(&mut world.content) == *reply, || format!("{action:?} replied {reply:?}"))
    }

    /// The value was seen by the closure of a read-modify-write that is about to run to its end.
    pub(super) fn was_seen(&mut self, bytes: &[u8], size: Option<usize>) -> Result<(), String> {
        let zeros = vec![0; size.unwrap_or(0)];
        let agrees = |world: &mut World| world.content.as_ref().unwrap_or(&zeros) == bytes;
        self.keep(agrees, || format!("a closure saw {bytes:?}"))
    }

    /// An operation was begun and is pending.
    pub(super) fn begun(&mut self, id: OpId, action: Action) {
        self.pending.insert(id, action);
        self.branch();
    }

    /// A pending operation is finished and replied.
    pub(super) fn finished(&mut self, id: OpId, reply: &Reply) -> Result<(), String> {
        let action = self.pending.remove(&id);
        let agrees = |world: &mut World| world.replies.remove(&id).as_ref() == Some(reply);
        self.keep(agrees, || format!("pending {id} ({action:?}) replied {reply:?}"))
    }

    /// A pending operation was given up: it took effect before this moment or never will.
    pub(super) fn given_up(&mut self, id: OpId) {
        self.pending.remove(&id);
        for world in &mut self.worlds {
            world.replies.remove(&id);
        }
        self.merge();
    }

    /// Strikes out the worlds that do not agree with an event.
    fn keep(&mut self, agrees: impl FnMut(&mut World) -> bool, event: impl FnOnce() -> String) -> Result<(), String> {
        let before = self.worlds.clone();
        self.worlds.retain_mut(agrees);
        if self.worlds.is_empty() {
            return Err(format!("{}, which contradicts {before:?} with {:?} pending", event(), self.pending));
        }
        self.merge();
        self.branch();
        Ok(())
    }

    /// Lets every pending operation take effect now, or not yet.
    fn branch(&mut self) {
        let mut at = 0;
        while at < self.worlds.len() {
            for (id, action) in &self.pending {
                if !self.worlds[at].replies.contains_key(id) {
                    let mut next = self.worlds[at].clone();
                    let reply = action.act(&mut next.content);
                    next.replies.insert(*id, reply);
                    if !self.worlds.contains(&next) {
                        self.worlds.push(next);
                    }
                }
            }
            at += 1;
        }
    }

    fn merge(&mut self) {
        if self.worlds.len() > 1 {
            let mut kept: Vec<World> = Vec::new();
            for world in self.worlds.drain(..) {
                if !kept.contains(&world) {
                    kept.push(world);
                }
            }
            self.worlds = kept;
        }
    }
}
