//! One thread's part of a trace.

use super::Cache;
use super::book::Book;
use super::line::{Request, Verb};
use super::model::{Model, Reply, count};
use crate::bench::value::mix;
use oxifaster::record::Expiring;
use oxifaster::store::{Conditional, Session};
use oxifaster::{ErrorKind, Result};
use std::time::Instant;

/// Plays requests, one after the other.
pub(super) struct Player {
    session: Session<Vec<u8>, Expiring<Vec<u8>>>,
    model: Model,
    book: Book,
}

impl Player {
    pub(super) fn new(store: &Cache, model: Model) -> Self {
        Self { session: store.start_session(), model, book: Book::default() }
    }

    /// What was played; the keys that are followed to the end are in it.
    pub(super) fn into_book(mut self) -> Book {
        self.book.followed_keys = self.model.keys();
        self.book
    }

    /// Plays a request, and checks what came of it if its key is followed.
    pub(super) fn play(&mut self, request: Request) -> Result<()> {
        let expiry = request.expiry();
        let Request { line, verb, key, value_size, ttl, time } = request;
        let size = if verb.brings_value() { value_size } else { 0 };
        let value = bytes_of(line, size);
        let followed = self.model.follows(&key).then(|| (key.clone(), value.clone()));
        let began = Instant::now();
        let reply = match self.ask(verb, key, Expiring::until(value, expiry)) {
            Err(error) if error.kind() == ErrorKind::Limit => Reply::TooLarge,
            reply => reply?,
        };
        self.book.took(verb, &reply, size, began.elapsed());
        self.book.writes_with_ttl += u64::from(verb.brings_value() && ttl > 0);
        if let Some((key, value)) = followed {
            let new = Expiring::until(&value[..], expiry);
            let expected = self.model.expect(verb, &key, new, time, &reply);
            self.book.checked(line, verb, &expected, &reply);
        }
        Ok(())
    }

    /// Each operation of a cache by the conditional one of the store that does the same.
    fn ask(&mut self, verb: Verb, key: Vec<u8>, value: Expiring<Vec<u8>>) -> Result<Reply> {
        let session = &mut self.session;
        Ok(match verb {
            Verb::Get | Verb::Gets => Reply::Value(session.read(&key)?.map(Expiring::into_inner)),
            Verb::Set => session.upsert(key, value).map(|()| Reply::Done)?,
            Verb::Add => either(session.insert(key, value)?, Reply::NotStored),
            Verb::Replace => told(&session.replace_if(key, value, |_| true)?),
            Verb::Delete => told(&session.delete_if(key, |_| true)?),
            Verb::Cas => self.exchange(key, |_| value.clone())?,
            // What a value becomes ends when it would have ended.
            Verb::Append => self.exchange(key, |had| Expiring::until([&had[..], &value].concat(), had.expiry()))?,
            Verb::Prepend => self.exchange(key, |had| Expiring::until([&value[..], had].concat(), had.expiry()))?,
            // A key that is not there starts from an empty value, which nothing can be counted with.
            Verb::Incr | Verb::Decr => {
                either(session.rmw(key, |value| count(value, verb == Verb::Incr))?, Reply::NotFound)
            }
        })
    }

    /// Reads the value, as a client does before it comes back with its version, and exchanges it for another if it is still that.
    fn exchange(&mut self, key: Vec<u8>, make: impl Fn(&Expiring<Vec<u8>>) -> Expiring<Vec<u8>>) -> Result<Reply> {
        loop {
            let Some(had) = self.session.read(&key)? else { return Ok(Reply::NotFound) };
            match self.session.compare_exchange(key.clone(), &had, make(&had))? {
                Conditional::Done => return Ok(Reply::Done),
                Conditional::Absent => return Ok(Reply::NotFound),
                // All requests for a key come from this thread: there is nobody who could be faster time and again.
                Conditional::Refused(_) => {}
            }
        }
    }
}

fn told<V>(outcome: &Conditional<V>) -> Reply {
    either(outcome.is_done(), Reply::NotFound)
}

fn either(is_done: bool, otherwise: Reply) -> Reply {
    if is_done { Reply::Done } else { otherwise }
}

/// The value that the request in this line brings.
fn bytes_of(line: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    let mut state = mix(line);
    for chunk in bytes.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        chunk.copy_from_slice(&mix(state).to_le_bytes()[..chunk.len()]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::line::parse;
    use super::*;
    use oxifaster::clock::VirtualClock;
    use oxifaster::device::{MemoryDisk, StorageDevice};
    use oxifaster::store::FasterKvConfig;
    use std::sync::Arc;

    fn store() -> Cache {
        store_by(&Arc::new(VirtualClock::new(0)))
    }

    fn store_by(clock: &Arc<VirtualClock>) -> Cache {
        let device = Arc::new(MemoryDisk::new()) as Arc<dyn StorageDevice>;
        let config = FasterKvConfig::default().with_memory_budget(1 << 20).with_clock(clock.clone());
        Cache::open(config, device).unwrap()
    }

    fn play(player: &mut Player, lines: &[&str]) {
        for (number, line) in (1..).zip(lines) {
            player.play(parse(line.as_bytes(), number).unwrap()).unwrap();
        }
    }

    #[test]
    fn every_operation_does_what_the_model_says() {
        let store = store();
        let mut player = Player::new(&store, Model::new(1, 1 << 20));
        let mut lines = Vec::new();
        // Whatever comes after whatever, on a key that is there and on one that is not.
        for first in Verb::ALL {
            for second in Verb::ALL {
                for key in ["a", "b"] {
                    for verb in [first, second, Verb::Get] {
                        lines.push(format!("0,{key},1,{},0,{},0", lines.len() % 40, verb.name()));
                    }
                }
                lines.push("0,b,1,0,0,delete,0".to_owned());
            }
        }
        play(&mut player, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        let book = player.into_book();
        assert_eq!((book.checked, book.faults), (lines.len() as u64, 0), "{:?}", book.first_faults);
    }

    #[test]
    fn a_value_that_is_not_the_right_one_is_found_and_named() {
        let store = store();
        let mut player = Player::new(&store, Model::new(1, 1 << 20));
        play(&mut player, &["0,a,1,10,0,set,0"]);
        store.start_session().upsert(b"a".to_vec(), vec![1; 10].into()).unwrap();
        play(&mut player, &["0,x,1,10,0,get,0", "0,a,1,10,0,get,0"]);
        let book = player.into_book();
        assert_eq!((book.faults, book.first_faults.len()), (1, 1));
        let fault = &book.first_faults[0];
        assert!(fault.line == 2 && fault.operation == "get" && fault.found.contains("10 bytes"), "{fault:?}");
    }

    #[test]
    fn values_end_when_the_trace_says() {
        let clock = Arc::new(VirtualClock::new(0));
        let store = store_by(&clock);
        let mut player = Player::new(&store, Model::new(1, 1 << 20));
        let mut lines = Vec::new();
        // Each operation on a key that ends at the third second, and is looked at before, then, and when it would end anew.
        for second in [0, 2, 3, 5, 7] {
            for verb in Verb::ALL {
                let key = verb.name();
                if second == 0 {
                    lines.push(format!("0,{key},1,10,0,set,3"));
                } else {
                    lines.push(format!("{second},{key},1,4,0,{key},2"));
                }
                lines.push(format!("{second},{key},1,0,0,get,0"));
            }
        }
        let mut found = Vec::new();
        for (number, line) in (1..).zip(&lines) {
            let request = parse(line.as_bytes(), number).unwrap();
            clock.set(request.time * 1000);
            player.play(request).unwrap();
            found.push(player.book.page(Verb::Get).successful);
        }
        let book = player.into_book();
        assert_eq!((book.checked, book.faults), (lines.len() as u64, 0), "{:?}", book.first_faults);
        assert!(found.windows(2).any(|two| two[0] == two[1]) && found.last() < Some(&(lines.len() as u64 / 2)));
    }

    #[test]
    fn a_record_that_the_store_does_not_take_is_counted_and_changes_nothing() {
        let store = store();
        let mut player = Player::new(&store, Model::new(1, 1 << 20));
        play(
            &mut player,
            &["0,a,1,10,0,set,60", "0,a,1,9999999,0,set,0", "0,a,1,9999999,0,append,0", "0,a,1,0,0,get,0"],
        );
        let book = player.into_book();
        assert_eq!((book.too_large, book.faults, book.writes_with_ttl), (2, 0, 1), "{:?}", book.first_faults);
    }
}
