//! How segment files are called.

/// How the files of segments are called: `<prefix>.<number>`, the number with at least six digits so that a directory
/// listing is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentName {
    prefix: &'static str,
}

impl SegmentName {
    pub(super) const fn new(prefix: &'static str) -> Self {
        Self { prefix }
    }

    pub(super) fn file_name(self, segment: u64) -> String {
        format!("{}.{segment:06}", self.prefix)
    }

    /// The number of the segment that is called `file_name`, if a segment is called so.
    pub(super) fn parse(self, file_name: &str) -> Option<u64> {
        let digits = file_name.strip_prefix(self.prefix)?.strip_prefix('.')?;
        let segment = digits.parse().ok()?;
        (self.file_name(segment) == file_name).then_some(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_file_name_says_which_segment_it_is(segment in any::<u64>()) {
            let name = SegmentName::new("log");
            prop_assert_eq!(name.parse(&name.file_name(segment)), Some(segment));
        }
    }

    #[test]
    fn foreign_files_are_not_taken_for_segments() {
        let name = SegmentName::new("log");
        assert_eq!(name.file_name(7), "log.000007");
        assert_eq!(name.parse("log.1234567"), Some(1_234_567));
        for foreign in ["log", "log.", "log.7", "log.0000007", "log.+00007", "log.00000a", "LOCK", "blog.000007"] {
            assert_eq!(name.parse(foreign), None, "{foreign}");
        }
    }
}
