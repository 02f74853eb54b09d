//! What is compared.

use crate::failure::Result;
use crate::value;

/// An operation on a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Op {
    pub(crate) key: u64,
    pub(crate) kind: OpKind,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum OpKind {
    /// Reads the value and looks at it.
    Read,
    /// Writes the key's value with this counter, without looking at the old one.
    Update(u64),
    /// Adds 1 to the counter in the value, as one step.
    Rmw,
}

/// What the reads came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    /// Reads that found nothing, or something that is no value of their key.
    pub(crate) wrong: u64,
    /// Values that were looked at: a read whose value nobody looks at is not a read.
    pub(crate) judged: u64,
    /// The sum of the counters in the values that were right.
    pub(crate) counters: u64,
}

impl Tally {
    /// Looks at what a read returned.
    #[inline]
    pub(crate) fn judge(&mut self, key: u64, value: Option<&[u8]>) {
        self.judged += 1;
        match value {
            Some(value) if value::is_long(key, value) => {
                self.counters = self.counters.wrapping_add(value::long_counter(value))
            }
            _ => self.wrong += 1,
        }
    }
}

/// A mode in which an engine can be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    /// Whether it is given many operations at a time, which may be done in any order except that those on one key keep
    /// theirs; or one.
    pub(crate) is_batch: bool,
}

/// A store whose data does not fit in the memory it may take.
pub(crate) trait DiskEngine: Sync {
    /// The ways it can be asked.
    fn modes(&self) -> &'static [Mode];

    /// Something that one thread calls.
    fn worker(&self, mode: usize) -> Result<Box<dyn DiskWorker + '_>>;

    /// Waits until what loading has left to do in the background is done.
    fn settle(&self) -> Result<()> {
        Ok(())
    }

    /// What should be said about its set-up, for the report.
    fn describe(&self) -> String;

    /// Figures it keeps itself, as they are at this moment.
    fn figures(&self) -> Vec<(String, f64)> {
        Vec::new()
    }

    /// Whether it holds keys at all: the probe reads blocks.
    fn has_keys(&self) -> bool {
        true
    }
}

/// One thread's access to an engine.
pub(crate) trait DiskWorker {
    /// Runs these operations: one in a mode of single calls, many in a mode of batches.
    ///
    /// Some may still be under way when it returns, if the mode is one that leaves them so.
    fn run(&mut self, ops: &[Op], tally: &mut Tally) -> Result<()>;

    /// Waits for what is still under way.
    fn finish(&mut self, _tally: &mut Tally) -> Result<()> {
        Ok(())
    }
}
