//! How the files of checkpoints are called.

use super::CheckpointToken;
use std::fmt;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Manifest,
    /// A manifest that is being written, or was when the process ended.
    Unfinished,
    Log,
    Index,
}

impl Role {
    const ALL: [Self; 4] = [Self::Manifest, Self::Unfinished, Self::Log, Self::Index];

    const fn suffix(self) -> &'static str {
        match self {
            Self::Manifest => ".manifest",
            Self::Unfinished => ".manifest.tmp",
            Self::Log => ".log",
            Self::Index => ".index",
        }
    }
}

/// The name of a file of a checkpoint: its token, and an ending that says what the file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileName {
    pub(super) token: CheckpointToken,
    pub(super) role: Role,
}

impl FileName {
    /// What the file called `name` is, if a checkpoint has a file of exactly this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let split = |role: Role| Some((name.strip_suffix(role.suffix())?, role));
        let (digits, role) = Role::ALL.into_iter().find_map(split)?;
        let token = CheckpointToken::parse(digits)?;
        // Capital digits would make two names of one checkpoint.
        let found = Self { token, role };
        (!digits.bytes().any(|byte| byte.is_ascii_uppercase())).then_some(found)
    }

    /// True for a name that ends like that of a manifest, whatever precedes it.
    pub(super) fn claims_to_be_a_manifest(name: &str) -> bool {
        name.ends_with(Role::Manifest.suffix())
    }
}

/// What the blocks in the file called `name` are bound to: nothing, if no checkpoint has such a file.
pub(super) fn binding_of(name: &str) -> u32 {
    FileName::parse(name).map_or(0, |name| name.token.binding())
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.token, self.role.suffix())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_says_whose_file_it_is_and_what_for(number: u128, role in 0usize..4) {
            let name = FileName { token: CheckpointToken::new(number), role: Role::ALL[role] };
            prop_assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }

        #[test]
        fn no_name_makes_the_parser_panic(name: String) {
            let _ = FileName::parse(&name);
        }
    }

    #[test]
    fn names_with_paths_capitals_or_other_endings_are_foreign() {
        let token = CheckpointToken::new(0xab).to_string();
        for foreign in [
            format!("../{token}.log"),
            format!("{token}.log.tmp"),
            format!("{}.log", token.to_uppercase()),
            format!("{token}.LOG"),
            format!("{}.log", &token[1..]),
            token,
            "log.000000".to_owned(),
        ] {
            assert_eq!(FileName::parse(&foreign), None, "{foreign}");
        }
    }
}
