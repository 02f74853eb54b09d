//! `layers.toml`, read and checked for its own mistakes.

use super::report::Report;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Where the rules stand, for messages.
pub(crate) const FILE: &str = "layers.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesFile {
    strict_units: bool,
    layer: Vec<Layer>,
    #[serde(default)]
    edge: Vec<Edge>,
    unsafe_files: Vec<String>,
    sizes: Sizes,
    forbidden_words: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Layer {
    level: u32,
    units: Vec<String>,
}

/// A dependency between two units of one layer, with the reason why it may be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edge {
    pub(crate) from: String,
    pub(crate) to: String,
    reason: String,
}

/// Limits in lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sizes {
    pub(crate) file_warn: usize,
    pub(crate) file_fail: usize,
    pub(crate) test_file_warn: usize,
    pub(crate) function_warn: usize,
    pub(crate) function_fail: usize,
}

pub(crate) struct Rules {
    /// If a unit or an edge that is listed and not there is an error.
    pub(crate) strict_units: bool,
    /// Unit (`memory`, `index::cold`) to layer.
    pub(crate) levels: BTreeMap<String, u32>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) unsafe_files: Vec<String>,
    pub(crate) sizes: Sizes,
    pub(crate) forbidden_words: Vec<String>,
}

impl Rules {
    pub(crate) fn parse(text: &str, report: &mut Report) -> Result<Self, String> {
        let file: RulesFile = toml::from_str(text).map_err(|error| format!("{FILE}: {error}"))?;
        let mut levels = BTreeMap::new();
        for layer in file.layer {
            for unit in layer.units {
                if let Some(other) = levels.insert(unit.clone(), layer.level) {
                    let level = layer.level;
                    report.fail(FILE, 1, "layers", format!("`{unit}` is listed twice, in layers {other} and {level}"));
                }
            }
        }
        for edge in &file.edge {
            let (from, to) = (levels.get(&edge.from), levels.get(&edge.to));
            if from.is_none() || from != to {
                let names = format!("`{}` to `{}`", edge.from, edge.to);
                report.fail(FILE, 1, "layers", format!("the edge {names} does not join two units of one layer"));
            }
            if edge.reason.trim().is_empty() {
                report.fail(FILE, 1, "layers", format!("the edge `{}` to `{}` has no reason", edge.from, edge.to));
            }
        }
        Ok(Self {
            strict_units: file.strict_units,
            levels,
            edges: file.edge,
            unsafe_files: file.unsafe_files,
            sizes: file.sizes,
            forbidden_words: file.forbidden_words,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &str = "unsafe_files = []\nforbidden_words = []\nstrict_units = true\n[sizes]\nfile_warn = 1\n\
                        file_fail = 1\ntest_file_warn = 1\nfunction_warn = 1\nfunction_fail = 1\n";

    fn messages(head: &str) -> Vec<String> {
        let mut report = Report::default();
        Rules::parse(&format!("{TAIL}{head}"), &mut report).unwrap();
        report.messages()
    }

    #[test]
    fn a_sound_list_has_no_findings() {
        let list = "[[layer]]\nlevel = 0\nunits = ['a', 'b']\n[[edge]]\nfrom = 'a'\nto = 'b'\nreason = 'why'\n";
        assert!(messages(list).is_empty());
    }

    #[test]
    fn a_unit_in_two_layers_and_a_senseless_edge_are_findings() {
        let list = "[[layer]]\nlevel = 0\nunits = ['a']\n[[layer]]\nlevel = 1\nunits = ['a', 'b', 'c']\n\
                    [[edge]]\nfrom = 'b'\nto = 'nowhere'\nreason = 'why'\n[[edge]]\nfrom = 'b'\nto = 'c'\nreason = ''\n";
        let found = messages(list);
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(Rules::parse(&format!("planned = []\n{TAIL}layer = []\n"), &mut Report::default()).is_err());
    }
}
