//! A value of many words is seen whole or not at all.

use super::{Store, at_once, roomy, store_of, tiny, while_pages_move};
use std::sync::atomic::{AtomicUsize, Ordering};

type Wide = [u64; 13];

fn wide(seed: u64) -> Wide {
    std::array::from_fn(|at| seed.wrapping_mul(at as u64 * 2 + 1))
}

fn check(value: &Wide) -> u64 {
    assert_eq!(*value, wide(value[0]), "a torn value");
    value[0]
}

/// Half of the threads rewrite a few keys, blindly or by what is there; the others look.
fn rewrite_and_look(store: &Store<Wide>, each: u64) {
    const THREADS: usize = 4;
    let writing = AtomicUsize::new(THREADS / 2);
    let mut session = store.start_session();
    (0..3).for_each(|key| session.upsert(key, wide(key)).unwrap());
    at_once(THREADS, |thread| {
        let mut session = store.start_session();
        if thread % 2 == 0 {
            for step in 0..each {
                let seed = step << 8 | thread as u64;
                match step % 3 {
                    0 => session.upsert(step % 2, wide(seed)).unwrap(),
                    1 => session.delete(&2).unwrap(),
                    _ => assert!(
                        session
                            .rmw(step % 3, |value| {
                                *value = wide(check(value) + 1);
                                true
                            })
                            .unwrap()
                    ),
                }
            }
            writing.fetch_sub(1, Ordering::Relaxed);
        } else {
            let mut looks = 0u64;
            while writing.load(Ordering::Relaxed) > 0 {
                let value = session.read(&(looks % 3)).unwrap();
                assert!(value.is_some() || looks % 3 == 2, "only one key is ever deleted");
                let _ = value.as_ref().map(check);
                looks += 1;
            }
        }
    });
}

#[test]
fn no_value_is_torn_while_it_is_rewritten_in_place() {
    rewrite_and_look(&store_of(roomy()), 1_500_000);
}

#[test]
fn no_value_is_torn_while_pages_move() {
    let store = store_of(tiny());
    while_pages_move(&store, wide, || rewrite_and_look(&store, 10_000));
}
