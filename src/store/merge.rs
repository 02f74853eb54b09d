//! Merging values by operators that have a name.

use super::async_session::{AsyncSession, Use};
use super::op_future::OpFuture;
use super::session::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{LearnOp, Merging};
use crate::record::{Codec, Encoded, Key, Value};
use std::collections::BTreeSet;

/// An associative operator on values: of three values, it does not matter which two are merged first. So what many sessions merge
/// into one key comes to the same, however it is grouped.
pub trait MergeOperator<V>: Send + Sync {
    /// What it is called where it is chosen by name.
    fn name(&self) -> &'static str;

    /// Merges `operand` into `value`. Must not block, and may be called again on a newer value.
    ///
    /// # Errors
    /// If the two cannot be merged; the value is then left as it is.
    fn merge(&self, value: &mut V, operand: &V) -> Result<()>;
}

/// The sum of numbers; it wraps around at the end of their range.
#[derive(Debug, Clone, Copy, Default)]
pub struct Add;

/// The larger of two values.
#[derive(Debug, Clone, Copy, Default)]
pub struct Max;

/// The smaller of two values.
#[derive(Debug, Clone, Copy, Default)]
pub struct Min;

/// What is there, and what comes behind it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Append;

/// Everything that is in one set or the other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Union;

/// A type of values with operators that can be chosen by name.
pub trait Mergeable: Value {
    /// The operators.
    fn operators() -> &'static [&'static dyn MergeOperator<Self>];

    /// The operator of this name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] names those that there are.
    fn operator(name: &str) -> Result<&'static dyn MergeOperator<Self>> {
        Self::operators().iter().copied().find(|operator| operator.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Self::operators().iter().map(|operator| operator.name()).collect();
            Error::new(ErrorKind::NotFound, "values of this type have no operator of this name")
                .with("name", name)
                .with("operators", names.join(", "))
        })
    }
}

macro_rules! numbers {
    ($($number:ty)*) => { $(
        impl MergeOperator<$number> for Add {
            fn name(&self) -> &'static str {
                "add"
            }

            fn merge(&self, value: &mut $number, operand: &$number) -> Result<()> {
                *value = value.wrapping_add(*operand);
                Ok(())
            }
        }

        impl Mergeable for $number {
            fn operators() -> &'static [&'static dyn MergeOperator<Self>] {
                &[&Add, &Max, &Min]
            }
        }
    )* };
}

numbers! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }

impl<V: Value + Ord> MergeOperator<V> for Max {
    fn name(&self) -> &'static str {
        "max"
    }

    fn merge(&self, value: &mut V, operand: &V) -> Result<()> {
        if operand > value {
            value.clone_from(operand);
        }
        Ok(())
    }
}

impl<V: Value + Ord> MergeOperator<V> for Min {
    fn name(&self) -> &'static str {
        "min"
    }

    fn merge(&self, value: &mut V, operand: &V) -> Result<()> {
        if operand < value {
            value.clone_from(operand);
        }
        Ok(())
    }
}

impl MergeOperator<Vec<u8>> for Append {
    fn name(&self) -> &'static str {
        "append"
    }

    fn merge(&self, value: &mut Vec<u8>, operand: &Vec<u8>) -> Result<()> {
        value.extend_from_slice(operand);
        Ok(())
    }
}

impl MergeOperator<String> for Append {
    fn name(&self) -> &'static str {
        "append"
    }

    fn merge(&self, value: &mut String, operand: &String) -> Result<()> {
        value.push_str(operand);
        Ok(())
    }
}

impl Mergeable for Vec<u8> {
    fn operators() -> &'static [&'static dyn MergeOperator<Self>] {
        &[&Append, &Max, &Min]
    }
}

impl Mergeable for String {
    fn operators() -> &'static [&'static dyn MergeOperator<Self>] {
        &[&Append, &Max, &Min]
    }
}

impl<T, C> MergeOperator<Encoded<BTreeSet<T>, C>> for Union
where
    T: Ord + Clone + Send + Sync + 'static,
    C: Codec<BTreeSet<T>>,
{
    fn name(&self) -> &'static str {
        "union"
    }

    fn merge(&self, value: &mut Encoded<BTreeSet<T>, C>, operand: &Encoded<BTreeSet<T>, C>) -> Result<()> {
        if operand.is_subset(value) {
            return Ok(());
        }
        value.update(|set| set.extend(operand.iter().cloned()))
    }
}

impl<T, C> Mergeable for Encoded<BTreeSet<T>, C>
where
    T: Ord + Clone + Send + Sync + 'static,
    C: Codec<BTreeSet<T>>,
{
    fn operators() -> &'static [&'static dyn MergeOperator<Self>] {
        &[&Union]
    }
}

impl<K: Key, V: Value> Session<K, V> {
    /// Merges `operand` into the value of `key`, as one step; a key that is not there gets it as its value.
    ///
    /// ```
    /// # use oxifaster::device::MemoryDisk;
    /// # use oxifaster::store::{FasterKv, FasterKvConfig, Mergeable, Max};
    /// # fn main() -> oxifaster::Result<()> {
    /// # let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(1 << 20), MemoryDisk::new())?;
    /// # let mut session = store.start_session();
    /// for reading in [3u64, 9, 4] {
    ///     session.merge(7u64, reading, &Max)?;
    /// }
    /// assert_eq!(session.read(&7)?, Some(9));
    /// session.merge(7, 1, u64::operator("add")?)?;
    /// assert_eq!(session.read(&7)?, Some(10));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`rmw`](Self::rmw), and the operator's; the store is unchanged then.
    pub fn merge(&mut self, key: K, operand: V, operator: &(impl MergeOperator<V> + ?Sized)) -> Result<()> {
        let merge = |value: &mut V, operand: &V| operator.merge(value, operand);
        let mut operation = LearnOp::new(key, Merging { operand, merge, failure: None });
        let (_, waited) = self.run_change(&mut operation, |counters| &counters.rmws)?;
        self.count_waits(usize::from(waited));
        Ok(())
    }
}

impl<K: Key, V: Value> AsyncSession<K, V> {
    /// As [`Session::merge`].
    ///
    /// ```
    /// # use oxifaster::device::MemoryDisk;
    /// # use oxifaster::store::{Append, FasterKv, FasterKvConfig, Mergeable};
    /// # async fn example() -> oxifaster::Result<()> {
    /// # let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(1 << 20), MemoryDisk::new())?;
    /// # let mut session = store.start_async_session();
    /// session.merge(7u64, String::from("one"), &Append).await?;
    /// session.merge(7, String::from(", two"), String::operator("append")?).await?;
    /// assert_eq!(session.read(&7).await?.as_deref(), Some("one, two"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The future's: as for [`Session::merge`].
    pub fn merge(
        &mut self,
        key: K,
        operand: V,
        operator: &'static (impl MergeOperator<V> + ?Sized),
    ) -> OpFuture<K, V, ()> {
        self.home.account.counters.rmws.add(1);
        let merge = |value: &mut V, operand: &V| operator.merge(value, operand);
        self.begin(LearnOp::new(key, Merging { operand, merge, failure: None }), Use::BOTH, |_| ())
    }
}
