//! A chain that many keys share.

use super::{at_once, store_of, tiny, while_pages_move};

/// With an index of one bucket nearly all keys share a chain, most of it on the device, to which others add all the time.
/// An operation that needs the old value must not start over each time.
#[test]
fn operations_get_on_while_others_add_to_their_chain() {
    let store = store_of::<u64>(tiny().with_table_size(1));
    while_pages_move(
        &store,
        |key| key,
        || {
            at_once(2, |thread| {
                let mut session = store.start_session();
                for step in 0..200u64 {
                    assert!(
                        session
                            .rmw(step % 10, |value| {
                                *value += 1;
                                true
                            })
                            .unwrap()
                    );
                    assert!(session.insert(1_000 + step * 2 + thread as u64, step).unwrap());
                }
            });
        },
    );
    let mut session = store.start_session();
    let total: u64 = (0..10).map(|key| session.read(&key).unwrap().unwrap()).sum();
    assert_eq!(total, 400);
}
