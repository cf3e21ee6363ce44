//! The rules of documents: every golden script says what it shows, and the two READMEs have the same shape.

use super::{Document, Offence};

/// Checks golden scripts and the pair of READMEs among all files.
pub(super) fn check(documents: &[Document]) -> Vec<Offence> {
    let mut offences: Vec<Offence> =
        documents.iter().filter(|document| is_script(&document.path)).filter_map(script_sentence).collect();
    offences.extend(same_headings(documents));
    offences
}

fn is_script(path: &str) -> bool {
    path.starts_with("crates/") && path.split('/').any(|part| part == "testscripts")
}

fn script_sentence(document: &Document) -> Option<Offence> {
    let comment: String = document
        .text
        .lines()
        .map_while(|line| line.strip_prefix('#'))
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" ");
    if comment.split_whitespace().count() >= 4 && comment.contains('.') {
        return None;
    }
    Some(Offence {
        rule: "script-sentence",
        place: document.path.clone(),
        text: "a script must start with a `#` comment: a full sentence that says what it shows".to_owned(),
    })
}

fn same_headings(documents: &[Document]) -> Option<Offence> {
    let levels = |path: &str| documents.iter().find(|d| d.path == path).map(|d| headings(&d.text));
    if levels("README.md")? == levels("README.zh.md").unwrap_or_default() {
        return None;
    }
    Some(Offence {
        rule: "readme-pair",
        place: "README.zh.md".to_owned(),
        text: "its headings do not follow those of README.md, level by level".to_owned(),
    })
}

/// The levels of a document's headings in order, those in code blocks left out.
fn headings(text: &str) -> Vec<usize> {
    let mut in_code = false;
    let mut levels = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        } else if !in_code && line.starts_with('#') {
            levels.push(line.chars().take_while(|&c| c == '#').count());
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &str, text: &str) -> Document {
        Document { path: path.to_owned(), text: text.to_owned() }
    }

    fn rules(documents: &[Document]) -> Vec<&'static str> {
        check(documents).into_iter().map(|offence| offence.rule).collect()
    }

    #[test]
    fn a_script_needs_a_sentence() {
        let path = "crates/floe-raft/testscripts/election/first";
        assert!(rules(&[document(path, "# One node becomes the leader.\ncluster nodes=3\n")]).is_empty());
        assert_eq!(rules(&[document(path, "cluster nodes=3\n")]), ["script-sentence"]);
        assert_eq!(rules(&[document(path, "# election\ncluster nodes=3\n")]), ["script-sentence"]);
    }

    #[test]
    fn the_second_readme_follows_the_first() {
        let english = document("README.md", "# floe\n## Run\n```\n# a comment\n```\n### More\n");
        let chinese = document("README.zh.md", "# floe\n## 运行\n### 更多\n");
        assert!(rules(&[english, chinese]).is_empty());

        let english = document("README.md", "# floe\n## Run\n");
        let behind = document("README.zh.md", "# floe\n");
        assert_eq!(rules(&[english, behind]), ["readme-pair"]);

        let english = document("README.md", "# floe\n");
        assert_eq!(rules(&[english]), ["readme-pair"]);
    }
}
