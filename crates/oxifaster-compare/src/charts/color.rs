//! Colours by contestant, so that one has the same in every picture.

/// Okabe and Ito's colours, which people with any colour vision tell apart. A contestant that is not in the list gets one
/// by its name.
pub(super) fn of(contestant: &str) -> &'static str {
    let known = [
        ("oxifaster 0.1.3", "#999999"),
        ("oxifaster batch", "#d55e00"),
        ("oxifaster", "#e69f00"),
        ("probe group", "#000000"),
        ("probe depth 64", "#000000"),
        ("probe", "#666666"),
        ("dashmap", "#0072b2"),
        ("papaya", "#56b4e9"),
        ("scc map", "#009e73"),
        ("scc index", "#8fbf3f"),
        ("rocksdb", "#0072b2"),
        ("fjall", "#009e73"),
        ("redb", "#cc79a7"),
        ("lmdb", "#56b4e9"),
    ];
    let found = known.into_iter().find(|(name, _)| contestant.starts_with(name));
    found.map_or("#a05a2c", |(_, color)| color)
}
