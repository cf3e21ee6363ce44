//! The rules of `docs/design/traps.md`: every trap has its row, and whatever a row names exists.

use super::{Document, Offence};

const PAGE: &str = "docs/design/traps.md";
const TRAPS: usize = 72;
const SCRIPTS: &str = "crates/floe-raft/testscripts/";
/// Where the names of the ledger's bugs are.
const BUGS: [&str; 3] =
    ["crates/floe-raft/src/mutant.rs", "crates/floe-wal/src/mutant.rs", "crates/floe-sim/src/mutant.rs"];

/// Checks the page, if there is one.
pub(super) fn check(documents: &[Document]) -> Vec<Offence> {
    let Some(page) = documents.iter().find(|document| document.path == PAGE) else { return Vec::new() };
    let offence = |text| Offence { rule: "traps", place: PAGE.to_owned(), text };
    let mut offences = Vec::new();
    for trap in 1..=TRAPS {
        let start = format!("| {trap} | ");
        let rows: Vec<&str> = page.text.lines().filter(|line| line.starts_with(&start)).collect();
        match rows[..] {
            [row] if row.split('|').nth(3).is_some_and(|cell| cell.trim().len() > 5) => {}
            [_] => offences.push(offence(format!("nothing is said of trap {trap}"))),
            _ => offences.push(offence(format!("trap {trap} has {} rows instead of one", rows.len()))),
        }
    }
    let names = page.text.split('`').skip(1).step_by(2);
    let missing = names.filter(|name| !exists(name, documents));
    offences.extend(missing.map(|name| offence(format!("`{name}` does not exist"))));
    offences
}

/// Whether what a row names is there; what is no reference is.
fn exists(name: &str, documents: &[Document]) -> bool {
    let text_of = |path: &str| documents.iter().find(|document| document.path == path).map(|d| &d.text);
    match name.split_once(':') {
        Some(("script", script)) if !script.is_empty() => text_of(&format!("{SCRIPTS}{script}")).is_some(),
        Some(("bug", bug)) if !bug.is_empty() => {
            let quoted = format!("\"{bug}\"");
            BUGS.iter().filter_map(|path| text_of(path)).any(|text| text.contains(&quoted))
        }
        Some(("test", test)) if !test.is_empty() => test.split_once("::").is_some_and(|(path, name)| {
            // Declared as a function, or as a line of a macro that makes functions.
            let (function, line) = (format!("fn {name}("), format!("    {name}: "));
            text_of(path).is_some_and(|text| text.contains(&function) || text.contains(&line))
        }),
        Some(_) | None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &str, text: &str) -> Document {
        Document { path: path.to_owned(), text: text.to_owned() }
    }

    /// A page in which every trap is held by `what`.
    fn page(what: &str) -> String {
        (1..=TRAPS).map(|trap| format!("| {trap} | a trap | {what} |\n")).collect()
    }

    fn offences(page: &str) -> Vec<String> {
        let documents = [
            document(PAGE, page),
            document("crates/floe-raft/testscripts/commit/figure_8", ""),
            document(BUGS[0], "CommitOldTerms = \"commit-old-terms\", \"somebody\";"),
            document("crates/floe-wal/tests/wal/torn.rs", "fn torn() {}\n    by_macro: Torn;\n"),
        ];
        check(&documents).into_iter().map(|offence| offence.text).collect()
    }

    #[test]
    fn what_exists_may_be_named() {
        let file = "test:crates/floe-wal/tests/wal/torn.rs";
        let what =
            format!("`script:commit/figure_8`; `bug:commit-old-terms`; `{file}::torn`; `{file}::by_macro`");
        assert!(offences(&page(&what)).is_empty());
        assert!(offences(&page("By construction: `Node::follow` does it.")).is_empty());
    }

    #[test]
    fn what_does_not_exist_is_found() {
        for name in ["script:commit/none", "bug:none", "test:crates/floe-wal/tests/wal/torn.rs::none"] {
            let found = offences(&page(&format!("`{name}`")));
            assert_eq!(found.len(), TRAPS, "{found:?}");
            assert_eq!(found[0], format!("`{name}` does not exist"));
        }
    }

    #[test]
    fn a_trap_without_a_row_and_one_without_an_answer_are_found() {
        let all = page("by construction");
        let less = all
            .replace("| 7 | a trap", "| 70 | a trap")
            .replace("| 9 | a trap | by construction |", "| 9 | a trap | |");
        let found = offences(&less);
        assert_eq!(
            found,
            [
                "trap 7 has 0 rows instead of one",
                "nothing is said of trap 9",
                "trap 70 has 2 rows instead of one",
            ]
        );
    }
}
