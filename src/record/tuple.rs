//! Two or three plain types as one: what a tuple would be if its bytes were laid down.

use super::Pod;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! tuple {
    ($(#[$meta:meta])* $name:ident($($field:ident: $type:ident),*)) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C, packed)]
        pub struct $name<$($type),*>($(
            /// Copied when it is looked at: it may lie at any address.
            pub $type
        ),*);

        impl<$($type: Pod),*> Pod for $name<$($type),*> {}

        impl<$($type),*> From<($($type),*)> for $name<$($type),*> {
            fn from(($($field),*): ($($type),*)) -> Self {
                Self($($field),*)
            }
        }

        impl<$($type: Copy),*> From<$name<$($type),*>> for ($($type),*) {
            fn from($name($($field),*): $name<$($type),*>) -> Self {
                ($($field),*)
            }
        }
    };
}

tuple! {
    /// Two plain values, one behind the other and nothing between or behind them: `Pair<u64, u32>` has 12 bytes.
    ///
    /// ```
    /// use oxifaster::record::{Pair, Value};
    /// let pair = Pair(1u64, 2u32);
    /// assert_eq!(pair.as_bytes(), [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
    /// let (number, part) = pair.into();
    /// assert_eq!((number, part), (1, 2));
    /// ```
    Pair(first: A, second: B)
}

tuple! {
    /// Three plain values, one behind the other. More are a struct: [`pod!`](crate::pod).
    Triple(first: A, second: B, third: C)
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::{Pair, Triple};
    use crate::record::{Key, Value};

    fn back<T: Value>(value: &T) -> T {
        let bytes = value.as_bytes();
        T::build(bytes.len(), |room| {
            room.copy_from_slice(bytes);
            bytes.len()
        })
        .unwrap()
    }

    #[test]
    fn parts_lie_behind_each_other_in_their_order() {
        let pair = Pair(0x0102u16, 0x0304_0506_0708_090au64);
        assert_eq!((Pair::<u16, u64>::FIXED, pair.as_bytes()), (Some(10), &[2, 1, 10, 9, 8, 7, 6, 5, 4, 3][..]));
        let triple = Triple(1u8, [2u8; 3], 3.0f32);
        assert_eq!((Triple::<u8, [u8; 3], f32>::FIXED, &triple.as_bytes()[..4]), (Some(8), &[1, 2, 2, 2][..]));
        assert_eq!((back(&pair), back(&triple)), (pair, triple));
        assert_eq!(<Pair<u64, Pair<u8, u8>> as Value>::FIXED, Some(10), "of pairs as well");
    }

    #[test]
    fn they_are_made_from_tuples_and_turned_into_them() {
        let triple: Triple<u8, u16, u32> = (1, 2, 3).into();
        assert_eq!(<(u8, u16, u32)>::from(triple), (1, 2, 3));
        assert_eq!(Pair::<u8, u64>::from((7, 8)), Pair(7, 8));
        assert_eq!(<Pair<u8, u64> as Value>::initial(), Pair(0, 0));
    }

    #[test]
    fn they_are_keys_if_their_parts_are() {
        fn is_key<K: Key>() {}
        is_key::<Pair<u64, u32>>();
        is_key::<Triple<u64, [u8; 5], u32>>();
    }
}
