//! `cargo xtask tidy`: the rules that no compiler knows, each of which prints what it wants to see instead.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace;

mod documents;
mod edges;
mod mask;
mod source;
mod traps;

/// Names of directories that hold nothing of the project's own.
const OUTSIDE: [&str; 4] = ["target", ".git", "floe-data", "node_modules"];
const ALLOW_LIST: &str = "xtask/tidy-allow.txt";

/// One place that breaks one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offence {
    /// The rule's short name, as the allow-list spells it.
    rule: &'static str,
    /// The path from the root, with `:` and a function's name where the rule is about one function.
    place: String,
    /// What is wrong and what to do about it.
    text: String,
}

impl fmt::Display for Offence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} [{}]: {}", self.place, self.rule, self.text)
    }
}

/// A text file of the project.
struct Document {
    /// The path from the root, with forward slashes.
    path: String,
    text: String,
}

/// Checks the whole workspace and prints every offence.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root()?;
    let documents = documents_under(&root)?;
    let mut offences = edges::check(&workspace::metadata()?)?;
    for document in &documents {
        offences.extend(source::check(document));
    }
    offences.extend(documents::check(&documents));
    offences.extend(traps::check(&documents));

    let allowed =
        fs::read_to_string(root.join(ALLOW_LIST)).with_context(|| format!("{ALLOW_LIST} is missing"))?;
    let remaining = without_allowed(offences, &allowed);
    for offence in &remaining {
        println!("{offence}");
    }
    if !remaining.is_empty() {
        bail!("tidy found {} offences", remaining.len());
    }
    println!("tidy: {} files are tidy", documents.len());
    Ok(())
}

/// Takes out what the allow-list names, and adds an offence for each of its lines that names nothing any more: so
/// the list can only shrink.
fn without_allowed(offences: Vec<Offence>, list: &str) -> Vec<Offence> {
    let allowed: BTreeSet<&str> =
        list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let mut used = BTreeSet::new();
    let mut remaining = Vec::new();
    for offence in offences {
        let entry = format!("{} {}", offence.rule, offence.place);
        match allowed.get(entry.as_str()) {
            Some(&line) => {
                used.insert(line);
            }
            None => remaining.push(offence),
        }
    }
    for stale in allowed.difference(&used) {
        remaining.push(Offence {
            rule: "allow-list",
            place: ALLOW_LIST.to_owned(),
            text: format!("`{stale}` offends no longer: take the line out"),
        });
    }
    remaining
}

fn documents_under(root: &Path) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    let mut waiting: Vec<PathBuf> = vec![root.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_symlink() || OUTSIDE.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                waiting.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let inside = path.strip_prefix(root).context("a walk stays below its root")?;
                documents.push(Document { path: inside.to_string_lossy().replace('\\', "/"), text });
            }
        }
    }
    documents.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offence(place: &str) -> Offence {
        Offence { rule: "file-length", place: place.to_owned(), text: String::new() }
    }

    #[test]
    fn the_allow_list_silences_what_it_names_and_nothing_else() {
        let left = without_allowed(vec![offence("a.rs"), offence("b.rs")], "# why\nfile-length a.rs\n");
        assert_eq!(left, [offence("b.rs")]);
    }

    #[test]
    fn an_allow_list_line_that_offends_no_longer_is_itself_an_offence() {
        let left = without_allowed(vec![], "file-length a.rs\n");
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].rule, "allow-list");
    }
}
