//! The ways in which a call is made.

use super::harness::{Flight, Harness, bytes_of, content_of, value_of};
use super::oracle::{Action, Reply, change};
use super::program::{Call, Face, Kind};
use oxifaster::record::{Key, Value};
use oxifaster::store::Begun;
use oxifaster::utility::KeyHash;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};

impl Call {
    /// What is done with the key at this place.
    pub(super) fn action<V: Value>(&self, at: usize) -> Action {
        let seed = self.seed.wrapping_add(at as u8);
        match self.kind {
            Kind::Read => Action::Read,
            Kind::Upsert => Action::Upsert(bytes_of::<V>(seed)),
            Kind::Rmw => Action::Rmw { seed, veto: seed % 5 == 4, size: V::FIXED },
            Kind::Insert => Action::Insert(bytes_of::<V>(seed)),
            Kind::Delete => Action::Delete,
        }
    }
}

/// Tags that all keys have, if there are few.
const FEW_TAGS: u64 = 2;

/// The name of key `number` if there are few tags: they are tried one by one.
fn name_of_few_tags(number: u16) -> u64 {
    static NAMES: OnceLock<Vec<u64>> = OnceLock::new();
    let tag = |name: &u64| KeyHash::of_bytes(&name.to_le_bytes()).get() >> (64 - 14);
    let names = NAMES.get_or_init(|| (0..).filter(|name| tag(name) < FEW_TAGS).take(512).collect());
    names[usize::from(number)]
}

/// Of any length, some keys begin as others do.
fn key_of<K: Key>(number: u16, few_tags: bool) -> K {
    if few_tags && K::FIXED == Some(8) {
        return value_of(&name_of_few_tags(number).to_le_bytes());
    }
    let Some(size) = K::FIXED else {
        return value_of("x".repeat(usize::from(number) % 50).as_bytes().iter().chain(format!("{number}").as_bytes()));
    };
    let mut bytes = vec![number as u8 ^ 0x5a; size];
    bytes[..4].copy_from_slice(&u32::from(number).to_le_bytes());
    value_of(&bytes)
}

fn change_value<V: Value>(value: &mut V, seed: u8) {
    let mut bytes = value.as_bytes().to_vec();
    change(&mut bytes, seed, V::FIXED);
    *value = value_of(&bytes);
}

fn replied<T>(begun: Begun<T>, reply: impl FnOnce(T) -> Reply) -> Begun<Reply> {
    match begun {
        Begun::Done(done) => Begun::Done(reply(done)),
        Begun::Pending(ticket) => Begun::Pending(ticket),
    }
}

/// What the last run of a closure saw, where the closure may outlive its call.
type SharedSeen = Arc<Mutex<Option<Vec<u8>>>>;

fn modify_of<V: Value>(seed: u8, veto: bool, seen: &SharedSeen) -> impl FnMut(&mut V) -> bool + Send + use<V> {
    let seen = Arc::clone(seen);
    move |value: &mut V| {
        *seen.lock().unwrap() = Some(value.as_bytes().to_vec());
        change_value(value, seed);
        !veto
    }
}

impl<K: Key, V: Value> Harness<K, V> {
    /// One call that waits for its end.
    pub(super) fn single(&mut self, session: usize, key: u16, action: Action) {
        self.plan.resume();
        let (session, name, mut seen) = (&mut self.running[session].session, key_of(key, self.few_tags), None);
        let reply = match &action {
            Action::Read => Reply::Value(content_of(session.read(&name).unwrap())),
            Action::Upsert(bytes) => {
                session.upsert(name, value_of(bytes)).unwrap();
                Reply::Nothing
            }
            Action::Rmw { seed, veto, .. } => {
                let changed = session.rmw(name, |value: &mut V| {
                    seen = Some(value.as_bytes().to_vec());
                    change_value(value, *seed);
                    !veto
                });
                Reply::Changed(changed.unwrap())
            }
            Action::Insert(bytes) => Reply::Changed(session.insert(name, value_of(bytes)).unwrap()),
            Action::Delete => {
                session.delete(&name).unwrap();
                Reply::Nothing
            }
        };
        if let Action::Rmw { .. } = action {
            self.saw(key, seen);
        }
        self.ran(key, &action, &reply);
    }

    /// The same with a key and a value that stay here, and a look at the bytes of a value.
    pub(super) fn borrowed(&mut self, session: usize, key: u16, action: Action) {
        self.plan.resume();
        let (session, name) = (&mut self.running[session].session, key_of::<K>(key, self.few_tags));
        let reply = match &action {
            Action::Read => Reply::Value(session.read_with(&name, <[u8]>::to_vec).unwrap()),
            Action::Upsert(bytes) => {
                session.upsert_ref(&name, &value_of::<V>(bytes)).unwrap();
                Reply::Nothing
            }
            other => panic!("{other:?} takes what it is given"),
        };
        self.ran(key, &action, &reply);
    }

    /// All keys in one call.
    pub(super) fn batch(&mut self, session: usize, call: &Call) {
        self.plan.resume();
        let mut keys = call.keys.clone();
        if call.kind == Kind::Read {
            // Each key once: the reads of a batch overlap, so two of one key may come in either order.
            keys = Vec::from_iter(BTreeSet::from_iter(keys));
        }
        let actions: Vec<Action> = (0..keys.len()).map(|at| call.action::<V>(at)).collect();
        let names: Vec<K> = keys.iter().map(|key| key_of(*key, self.few_tags)).collect();
        let session = &mut self.running[session].session;
        let mut replies = vec![Reply::Nothing; keys.len()];
        match call.kind {
            Kind::Read if call.face == Face::Borrowed => {
                let (names, mut calls) = (Vec::from_iter(&names), 0);
                let look = |at: usize, bytes: Option<&[u8]>| {
                    replies[at] = Reply::Value(bytes.map(<[u8]>::to_vec));
                    calls += 1;
                };
                session.read_batch_with(&names, look).unwrap();
                assert_eq!(calls, keys.len(), "each key is told once");
            }
            Kind::Read => {
                let values = session.read_batch(&names).unwrap();
                assert_eq!(values.len(), keys.len());
                replies = values.into_iter().map(|value| Reply::Value(content_of(value))).collect();
            }
            Kind::Upsert => {
                let value_at = |action: &Action| match action {
                    Action::Upsert(bytes) => value_of(bytes),
                    other => panic!("{other:?} among upserts"),
                };
                let pairs: Vec<(K, V)> = names.into_iter().zip(actions.iter().map(value_at)).collect();
                session.upsert_batch(&pairs).unwrap();
            }
            Kind::Rmw => {
                let logic: Vec<(u8, bool)> = actions.iter().filter_map(Action::logic).collect();
                let changed = session.rmw_batch(&names, |at, value| {
                    let (seed, veto) = logic[at];
                    change_value(value, seed);
                    !veto
                });
                assert_eq!(changed.unwrap(), logic.iter().filter(|(_, veto)| !veto).count());
                replies = logic.iter().map(|(_, veto)| Reply::Changed(!veto)).collect();
            }
            Kind::Insert => panic!("there is no batch of inserts"),
            Kind::Delete => session.delete_batch(&names).unwrap(),
        }
        for ((key, action), reply) in keys.iter().zip(&actions).zip(&replies) {
            self.ran(*key, action, reply);
        }
    }

    /// Begun without waiting.
    pub(super) fn begin(&mut self, session: usize, key: u16, action: Action) {
        if self.running[session].session.pending() >= self.max_pending {
            self.plan.resume();
        }
        let (begin, name, seen) =
            (&mut self.running[session].session, key_of(key, self.few_tags), SharedSeen::default());
        let begun = match &action {
            Action::Rmw { seed, veto, .. } => {
                replied(begin.begin_rmw(name, modify_of(*seed, *veto, &seen)).unwrap(), Reply::Changed)
            }
            Action::Insert(bytes) => replied(begin.begin_insert(name, value_of(bytes)).unwrap(), Reply::Changed),
            Action::Read => replied(begin.begin_read(&name).unwrap(), |value| Reply::Value(content_of(value))),
            other => panic!("{other:?} cannot be begun"),
        };
        match begun {
            Begun::Done(reply) => self.ended_at_once(key, &action, &reply, &seen),
            Begun::Pending(ticket) => {
                let id = self.begun(key, action);
                let known = self.running[session].tickets.insert(ticket, (key, id));
                assert_eq!(known, None, "a ticket names one operation only");
            }
        }
    }

    /// A future that is polled once.
    pub(super) fn future(&mut self, session: usize, key: u16, action: Action) {
        let (begin, name, seen) =
            (&mut self.running[session].async_session, key_of(key, self.few_tags), SharedSeen::default());
        let mut future: Pin<Box<dyn Future<Output = Reply>>> = match &action {
            Action::Read => then(begin.read(&name), |value| Reply::Value(content_of(value))),
            Action::Upsert(bytes) => then(begin.upsert(name, value_of(bytes)), |()| Reply::Nothing),
            Action::Rmw { seed, veto, .. } => then(begin.rmw(name, modify_of(*seed, *veto, &seen)), Reply::Changed),
            Action::Insert(bytes) => then(begin.insert(name, value_of(bytes)), Reply::Changed),
            Action::Delete => then(begin.delete(&name), |()| Reply::Nothing),
        };
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => self.ended_at_once(key, &action, &reply, &seen),
            Poll::Pending => {
                let id = self.begun(key, action);
                self.running[session].flights.push(Flight { key, id, future });
            }
        }
    }

    fn ended_at_once(&mut self, key: u16, action: &Action, reply: &Reply, seen: &SharedSeen) {
        if let Action::Rmw { .. } = action {
            self.saw(key, seen.lock().unwrap().take());
        }
        self.ran(key, action, reply);
    }
}

fn then<T: 'static>(
    future: impl Future<Output = oxifaster::Result<T>> + 'static,
    reply: impl FnOnce(T) -> Reply + 'static,
) -> Pin<Box<dyn Future<Output = Reply>>> {
    Box::pin(async move { reply(future.await.unwrap()) })
}
