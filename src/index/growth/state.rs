//! Where a growth or a shrinking stands, for those who take part and for those who ask.

use super::lockers::Lockers;
use super::run::Grower;
use crate::memory::Reservation;
use crate::sync::{AtomicU64, AtomicUsize, Mutex};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Why the index did not grow, or shrink, when it should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrowthRefusal {
    /// The memory budget has no room for a second table beside the first.
    Budget,
    /// The system does not give the memory.
    System,
    /// The index is as large as it may become.
    Largest,
    /// Most entries lead to the device, where their keys cannot be looked at: a larger table would hold them twice.
    OnDevice,
    /// An image of the index is being taken.
    Image,
    /// It is as small as it may become: as the store was configured.
    Smallest,
    /// Its entries would fill the smaller table too much.
    Crowded,
    /// Keys without an entry share chains, which only a growth takes apart.
    Saturated,
    /// A scan of the store is under way, which looks for records where they were.
    Scan,
    /// Keys are locked, by a transaction or by hand: whoever has them locked appends to their chains unseen.
    Locks,
    /// The store uses the space of records again, so that a newer record may lie below an older one of another chain.
    Revivification,
    /// The store's device keeps nothing: a log that is full has no room for copies of records, and would never have.
    NoDevice,
}

impl GrowthRefusal {
    /// The reason in words.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Budget => "the memory budget has no room for a second table beside the first",
            Self::System => "the system does not give the memory for a second table",
            Self::Largest => "the index is as large as it may become",
            Self::OnDevice => "most entries lead to the device, and would be in both halves of their bucket",
            Self::Image => "a checkpoint is taking an image of the index",
            Self::Smallest => "the index is as small as it may become",
            Self::Crowded => "the entries of the index would fill a smaller table too much",
            Self::Saturated => "buckets of the index are saturated, which only a growth takes apart",
            Self::Scan => "a scan of the store is under way",
            Self::Locks => "keys are locked",
            Self::Revivification => "the store uses the space of deleted records again",
            Self::NoDevice => "the store's device keeps nothing, so there may never be room for copies of records",
        }
    }
}

/// How the index has grown and shrunk, and whether it is doing so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexGrowth {
    /// True while another table is being made or filled, or the memory of the one before has not been given back yet.
    pub under_way: bool,
    /// True if that is a smaller one.
    pub shrinks: bool,
    /// Buckets of the table before that have been split so far, or of the smaller one that have been filled, if something is under way.
    pub buckets_split: u64,
    /// How often the table has doubled.
    pub doublings: u64,
    /// How often it has become half as large.
    pub halvings: u64,
    /// How long that took the last time.
    pub last_took: Option<Duration>,
    /// Why the index did not grow or shrink the last time that it should have.
    pub refused: Option<GrowthRefusal>,
}

/// What those share who have the index grow or shrink.
pub(in crate::index) struct Growth {
    /// One more than the rank of the table that is being made, filled, or settled; 0 if there is none.
    pub(super) target: AtomicUsize,
    /// Inserts that came while the index was too full and could not grow.
    pub(super) wishes: AtomicU64,
    /// First entries that may still be put into the table that is left for a smaller one.
    pub(super) room_before: AtomicU64,
    /// One more than the number of a bucket of the smaller table for which somebody waits, who finds no place in the larger one; 0 if
    /// nobody does.
    pub(super) wanted: AtomicU64,
    pub(super) lockers: Lockers,
    pub(in crate::index) grower: OnceLock<Grower>,
    pub(super) state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// Those who need the table to stay as it is.
    pub(super) holds: usize,
    /// Those who need records to stay in their chains.
    pub(super) scans: usize,
    /// What was drawn from the budget for the table in force, and for the one that is being filled.
    pub(super) held: Vec<Reservation>,
    pub(super) coming: Option<Reservation>,
    /// How much [`Growth::room_before`] there was in the beginning.
    pub(super) room: u64,
    pub(super) began: Option<Instant>,
    pub(super) doublings: u64,
    pub(super) halvings: u64,
    pub(super) last_took: Option<Duration>,
    pub(super) refused: Option<GrowthRefusal>,
    /// The system took all pieces back so far that were given to it.
    pub(super) keeps_pieces: bool,
}

impl Growth {
    pub(in crate::index) fn new() -> Self {
        Self {
            target: AtomicUsize::new(0),
            wishes: AtomicU64::new(0),
            room_before: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            lockers: Lockers::default(),
            grower: OnceLock::new(),
            state: Mutex::new(State::default()),
        }
    }
}
