//! Mistakes that can be planted in the library, to see that the tests which should find them do. With
//! `--cfg oxifaster_mutate` only; other builds hold no trace of them.

/// True where a mistake is planted. Costs nothing in ordinary builds: there it is the word `false`.
macro_rules! planted {
    ($mistake:ident) => {{
        #[cfg(oxifaster_mutate)]
        {
            $crate::utility::Mutation::$mistake.is_planted()
        }
        #[cfg(not(oxifaster_mutate))]
        {
            false
        }
    }};
}

pub(crate) use planted;

#[cfg(oxifaster_mutate)]
mod registry {
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    macro_rules! mutations {
        ($($(#[doc = $what:literal])+ $name:ident,)+) => {
            /// A classic mistake.
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum Mutation {
                $($(#[doc = $what])+ $name,)+
            }

            impl Mutation {
                /// All of them.
                pub const ALL: &[Self] = &[$(Self::$name),+];

                /// What it breaks, in a line.
                pub const fn what(self) -> &'static str {
                    match self {
                        $(Self::$name => concat!($($what),+)),+
                    }
                }
            }
        };
    }

    mutations! {
        /// The manifest is durable before the data that it names.
        SyncsManifestBeforeData,
        /// Sessions are cut one operation too early.
        CutsSerialShort,
        /// Blocks are not verified.
        SkipsVerification,
        /// A recovered log goes on with the generation it had.
        KeepsGeneration,
        /// Replay keeps the record that it meets first, which is an older one.
        KeepsFirstRecordMet,
        /// Replay leaves deletions out.
        LeavesTombstonesOut,
        /// An image of the index is used although it reaches beyond the end of the log.
        UsesImageBeyondEnd,
        /// The log is replayed from where the image of the index was complete, and not from where it was begun.
        ReplaysFromTooLate,
        /// What the base of an increment holds is changed in place afterwards.
        LeavesBaseMutable,
        /// An increment builds on a base that was removed.
        BuildsOnRemovedBase,
        /// A copy of the log reads from the device what has not left memory.
        CopiesAcrossHead,
        /// A write counts as done while one before it is under way.
        CountsUnfinishedWrites,
        /// A write that failed counts as done.
        SwallowsFailedWrite,
        /// A write that is durable by itself counts as a sync of all that was written before it.
        CountsWriteThroughAsSync,
        /// The device is not synced before the manifest is written.
        LeavesDeviceUnsynced,
        /// Retention removes the files that increments build on.
        RemovesBases,
        /// Retention removes files before the removal of their manifests is durable.
        RemovesFilesEarly,
        /// A failed checkpoint removes its files while its manifest may come back.
        RemovesFilesOfFailed,
        /// A recovery relies on a manifest whose name may not be durable.
        TrustsUnsyncedName,
        /// A recovery gives up blocks on the device that an older checkpoint counts on.
        GivesUpSharedBlocks,
    }

    impl Mutation {
        /// Runs `run` with this mistake planted on this thread.
        pub fn plant<T>(self, run: impl FnOnce() -> T) -> T {
            let before = PLANTED.replace(Some(self));
            let result = run();
            PLANTED.set(before);
            result
        }

        #[inline]
        pub(crate) fn is_planted(self) -> bool {
            PLANTED.get() == Some(self)
        }
    }
}

#[cfg(oxifaster_mutate)]
pub use registry::Mutation;
