//! Plain old data: types that are nothing but their bytes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A type that is nothing but its bytes: no padding, no pointers, every bit pattern valid.
///
/// The supertraits prove it; they are derived, and refuse to be derived for a type that does not qualify. The simple way
/// to declare one's own is [`pod!`](crate::pod).
pub trait Pod: FromBytes + IntoBytes + Immutable + KnownLayout + Copy + Send + Sync + 'static {
    /// What a read-modify-write of a missing key starts from. `Default:` all bytes zero.
    fn initial() -> Self {
        Self::new_zeroed()
    }
}

macro_rules! plain {
    ($($type:ty)*) => { $(impl Pod for $type {})* };
}

plain! { () u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 }

impl<T: Pod, const N: usize> Pod for [T; N] {}

/// Declares a struct that can be a key or a value: lays it out as written, derives what [`Pod`]
/// needs, and `Clone`, `Copy`, `Debug`, `PartialEq`.
///
/// The struct must have no padding: order its fields from large to small, and fill the end up with a field of its own if
/// needed. One that has padding does not compile. (Two or three values with nothing between them, whatever their sizes, are a
/// [`Pair`](crate::record::Pair) or a [`Triple`](crate::record::Triple).)
///
/// ```
/// oxifaster::pod! {
///     /// Where something is.
///     #[derive(Eq)]
///     pub struct Position {
///         pub x: i32,
///         pub y: i32,
///     }
/// }
/// let here = Position { x: 1, y: -1 };
/// assert_eq!(oxifaster::record::Value::as_bytes(&here), [1, 0, 0, 0, 255, 255, 255, 255]);
///
/// oxifaster::pod! {
///     #[derive(Eq, Hash)]
///     pub struct UserId(pub u64);
/// }
/// assert_eq!(oxifaster::record::Value::as_bytes(&UserId(7)).len(), 8);
/// ```
///
/// ```compile_fail
/// oxifaster::pod! {
///     struct HasPadding { small: u8, large: u64 }
/// }
/// ```
///
/// ```compile_fail
/// oxifaster::pod! {
///     struct HasPointer { name: &'static str }
/// }
/// ```
#[macro_export]
macro_rules! pod {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident { $($fields:tt)* }) => {
        $crate::pod! { @ $name: $(#[$meta])* $visibility struct $name { $($fields)* } }
    };
    ($(#[$meta:meta])* $visibility:vis struct $name:ident ( $($fields:tt)* );) => {
        $crate::pod! { @ $name: $(#[$meta])* $visibility struct $name ( $($fields)* ); }
    };
    (@ $name:ident: $($item:tt)*) => {
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[derive($crate::zerocopy::FromBytes, $crate::zerocopy::IntoBytes)]
        #[derive($crate::zerocopy::Immutable, $crate::zerocopy::KnownLayout)]
        #[zerocopy(crate = "oxifaster::zerocopy")]
        #[repr(C)]
        $($item)*

        impl $crate::record::Pod for $name {}
    };
}
