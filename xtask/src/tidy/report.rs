//! What the rules found.

use std::fmt;

#[derive(Default)]
pub(crate) struct Report {
    findings: Vec<Finding>,
}

struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    message: String,
    fails: bool,
}

impl Report {
    /// A finding that makes the gate red.
    pub(crate) fn fail(&mut self, path: &str, line: usize, rule: &'static str, message: impl Into<String>) {
        self.findings.push(Finding { path: path.to_string(), line, rule, message: message.into(), fails: true });
    }

    /// A finding to think about.
    pub(crate) fn warn(&mut self, path: &str, line: usize, rule: &'static str, message: impl Into<String>) {
        self.findings.push(Finding { path: path.to_string(), line, rule, message: message.into(), fails: false });
    }

    pub(crate) fn failures(&self) -> usize {
        self.findings.iter().filter(|finding| finding.fails).count()
    }

    pub(crate) fn warnings(&self) -> usize {
        self.findings.len() - self.failures()
    }

    #[cfg(test)]
    pub(crate) fn messages(&self) -> Vec<String> {
        self.findings.iter().map(|finding| finding.message.clone()).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { path, line, rule, message, fails } in &self.findings {
            let level = if *fails { "error" } else { "warning" };
            writeln!(f, "{level}: {path}:{line}: [{rule}] {message}")?;
        }
        Ok(())
    }
}
