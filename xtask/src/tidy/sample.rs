//! Rules for the tests of the rules.

use super::report::Report;
use super::rules::Rules;

const TEXT: &str = r#"
strict_units = true
unsafe_files = ["src/low/raw.rs"]
forbidden_words = ["manager", "helper", "common", "internal_", "_v2", "part1"]

[sizes]
file_warn = 5
file_fail = 8
test_file_warn = 6
function_warn = 3
function_fail = 5

[[layer]]
level = 0
units = ["base", "other"]

[[layer]]
level = 1
units = ["low"]

[[layer]]
level = 2
units = ["top"]

[[edge]]
from = "base"
to = "other"
reason = "a reason"
"#;

pub(crate) fn rules() -> Rules {
    Rules::parse(TEXT, &mut Report::default()).unwrap()
}
