//! Operations that wait for the device, by token.

use crate::device::Token;

/// Parked operations. A token names one for its whole life, and no other ever after.
#[derive(Debug)]
pub(crate) struct PendingTable<O> {
    slots: Vec<Slot<O>>,
    free: Vec<usize>,
    len: usize,
}

#[derive(Debug)]
struct Slot<O> {
    /// Counts the operations that were in this slot, so that a late completion finds nobody.
    turn: u64,
    parked: Option<O>,
}

const SLOT_BITS: u32 = 20;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;

impl<O> PendingTable<O> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), len: 0 }
    }

    /// Operations parked.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The token that the next operation to be parked will have.
    pub(crate) fn next_token(&mut self) -> Token {
        let slot = match self.free.last() {
            Some(slot) => *slot,
            None => {
                self.slots.push(Slot { turn: 0, parked: None });
                self.free.push(self.slots.len() - 1);
                self.slots.len() - 1
            }
        };
        self.slots[slot].turn << SLOT_BITS | slot as u64
    }

    /// Parks an operation under the [`next_token`](Self::next_token).
    pub(crate) fn park(&mut self, operation: O) -> Token {
        let token = self.next_token();
        self.free.pop();
        self.slots[(token & SLOT_MASK) as usize].parked = Some(operation);
        self.len += 1;
        token
    }

    /// The operation parked under `token`, if it still is.
    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut O> {
        let slot = self.slots.get_mut((token & SLOT_MASK) as usize)?;
        slot.parked.as_mut().filter(|_| slot.turn == token >> SLOT_BITS)
    }

    /// The turn of the operation parked under `token`, whose access is finished.
    pub(crate) fn turn(&mut self, token: Token) -> Turn<'_, O> {
        Turn { table: self, token, parks_again: false }
    }

    /// Takes an operation out; its token is dead from here on.
    pub(crate) fn remove(&mut self, token: Token) -> Option<O> {
        self.get_mut(token)?;
        let index = (token & SLOT_MASK) as usize;
        let operation = self.slots[index].parked.take();
        self.slots[index].turn += 1;
        self.free.push(index);
        self.len -= 1;
        operation
    }

    /// Spends the [`next_token`](Self::next_token) without parking anything under it.
    pub(crate) fn spend_token(&mut self) -> Token {
        let token = self.next_token();
        self.slots[(token & SLOT_MASK) as usize].turn += 1;
        token
    }
}

/// An operation's turn to go on. At its end the operation is taken out, also if it panics (it may run a user's closure, and
/// no access is under way that could end it), unless it was parked again.
pub(crate) struct Turn<'t, O> {
    table: &'t mut PendingTable<O>,
    token: Token,
    parks_again: bool,
}

impl<O> Turn<'_, O> {
    /// The operation; `None` if nobody is parked under the token.
    pub(crate) fn operation(&mut self) -> Option<&mut O> {
        self.table.get_mut(self.token)
    }

    /// Leaves the operation where it is, under the same token, for the access that it has submitted.
    pub(crate) fn park_again(mut self) {
        self.parks_again = true;
    }
}

impl<O> Drop for Turn<'_, O> {
    fn drop(&mut self) {
        if !self.parks_again {
            self.table.remove(self.token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_one_operation_only() {
        let mut table = PendingTable::new();
        let first = table.park("first");
        let second = table.park("second");
        assert_eq!((table.len(), table.remove(first)), (2, Some("first")));
        let third = table.park("third");
        assert_ne!(first, third);
        assert_eq!(table.get_mut(first), None);
        assert_eq!(table.remove(first), None);
        let spent = table.spend_token();
        assert_eq!(table.get_mut(spent), None);
        assert_ne!(table.next_token(), spent);
        assert_eq!((table.remove(second), table.remove(third), table.len()), (Some("second"), Some("third"), 0));
    }

    #[test]
    fn an_operation_whose_turn_ends_is_taken_out_unless_it_parks_again() {
        let mut table = PendingTable::new();
        let token = table.park("operation");
        table.turn(token).park_again();
        assert_eq!((table.len(), table.turn(token).operation()), (1, Some(&mut "operation")));
        assert_eq!((table.len(), table.turn(token).operation()), (0, None));
        let token = table.park("panics");
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _turn = table.turn(token);
            panic!("on purpose");
        }));
        assert!(panicked.is_err() && table.len() == 0 && table.get_mut(token).is_none());
    }
}
