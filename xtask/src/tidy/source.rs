//! The rules of one source file: it says what it holds, it and its functions stay small, and no banned word is in it.

use super::mask::code_only;
use super::{Document, Offence};

const FILE_LINES: usize = 800;
const FUNCTION_LINES: usize = 70;

/// Macros that leave something undone or left over. Looked for in code only. The pieces are put together so that
/// this file does not offend against itself.
const BANNED_CODE: [&str; 3] = ["todo!", "dbg!", "unimplemented!"];
/// Words that no text of the project may hold, with the reason.
const BANNED_TEXT: [(&str, &str); 4] = [
    (concat!("FIX", "ME"), "fix it, or write an issue"),
    (concat!("XX", "X:"), "fix it, or write an issue"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
];

/// Checks one file. Generated code is checked for banned words only.
pub(super) fn check(document: &Document) -> Vec<Offence> {
    let mut offences = banned_text(document);
    if document.path.ends_with(".rs") && !is_generated(document) {
        offences.extend(header(document));
        offences.extend(file_length(document));
        let code = code_only(&document.text);
        offences.extend(banned_code(document, &code));
        offences.extend(function_lengths(document, &code));
    }
    offences
}

fn is_generated(document: &Document) -> bool {
    document.path.starts_with("crates/floe-etcd/src/proto/")
        && document.text.lines().next().is_some_and(|line| line.to_lowercase().contains("generated"))
}

fn offence(rule: &'static str, place: impl Into<String>, text: String) -> Offence {
    Offence { rule, place: place.into(), text }
}

fn banned_text(document: &Document) -> Vec<Offence> {
    let mut offences = Vec::new();
    for (number, line) in document.text.lines().enumerate() {
        for (word, reason) in BANNED_TEXT {
            if line.contains(word) {
                let text = format!("line {} holds `{word}`: {reason}", number + 1);
                offences.push(offence("banned-word", &document.path, text));
            }
        }
    }
    offences
}

fn banned_code(document: &Document, code: &str) -> Vec<Offence> {
    let mut offences = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for word in BANNED_CODE {
            if line.contains(word) {
                let text = format!("line {} calls `{word}`", number + 1);
                offences.push(offence("banned-word", &document.path, text));
            }
        }
    }
    offences
}

fn header(document: &Document) -> Option<Offence> {
    let first = document.text.lines().next().unwrap_or_default();
    let sentence = first.strip_prefix("//!").map(str::trim).unwrap_or_default();
    if sentence.len() >= 10 {
        return None;
    }
    let text = "the file must open with a `//!` sentence that says what it holds".to_owned();
    Some(offence("file-header", &document.path, text))
}

fn file_length(document: &Document) -> Option<Offence> {
    let lines = document.text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
    if lines <= FILE_LINES {
        return None;
    }
    let text = format!("{lines} lines before its tests; {FILE_LINES} are enough for one concept");
    Some(offence("file-length", &document.path, text))
}

fn function_lengths(document: &Document, code: &str) -> Vec<Offence> {
    let mut offences = Vec::new();
    for function in functions(code) {
        if function.lines > FUNCTION_LINES {
            let place = format!("{}:{}", document.path, function.name);
            let text =
                format!("line {}: {} lines; the limit is {FUNCTION_LINES}", function.line, function.lines);
            offences.push(offence("function-length", place, text));
        }
    }
    offences
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// Finds every function with a body in text that is already code only: from its `fn` to the brace that closes it.
fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    // The function whose body has not begun yet, then those whose body is open, with the depth outside of it.
    let mut announced: Option<(String, usize)> = None;
    let mut open: Vec<(String, usize, usize)> = Vec::new();
    let mut depth = 0;
    // `fn f(a: [u8; 4]) -> X;` ends at the semicolon outside of all brackets, not at the first one.
    let mut brackets = 0_usize;
    let mut line = 1;
    let mut words = code.char_indices().peekable();
    while let Some((at, character)) = words.next() {
        match character {
            '\n' => line += 1,
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            ';' if brackets == 0 => announced = None,
            '{' => {
                if let Some((name, begun)) = announced.take() {
                    open.push((name, begun, depth));
                }
                depth += 1;
            }
            '}' => {
                depth = depth.saturating_sub(1);
                if open.last().is_some_and(|(_, _, outside)| *outside == depth)
                    && let Some((name, begun, _)) = open.pop()
                {
                    found.push(Function { name, line: begun, lines: line - begun + 1 });
                }
            }
            'f' if is_fn_keyword(code, at) => {
                words.next();
                let name: String =
                    code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                // `fn(u8) -> u8` is a type and has no name.
                if !name.is_empty() {
                    announced = Some((name, line));
                }
            }
            _ => {}
        }
    }
    found
}

fn is_fn_keyword(code: &str, at: usize) -> bool {
    let before = code[..at].chars().next_back();
    code[at..].starts_with("fn ") && !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        let document = Document { path: path.to_owned(), text: text.to_owned() };
        check(&document).into_iter().map(|offence| offence.rule).collect()
    }

    const HEADER: &str = "//! Holds the sample of a test.\n";

    fn function_of(lines: usize) -> String {
        format!("{HEADER}fn long(a: [u8; 4]) {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    #[test]
    fn a_small_file_with_a_header_passes() {
        assert!(rules("a.rs", &format!("{HEADER}fn f() {{}}\n")).is_empty());
    }

    #[test]
    fn a_file_without_a_header_fails() {
        assert_eq!(rules("a.rs", "fn f() {}\n"), ["file-header"]);
        assert_eq!(rules("a.rs", "//!\nfn f() {}\n"), ["file-header"]);
    }

    #[test]
    fn a_long_file_fails_and_its_tests_do_not_count() {
        let body = "const A: u8 = 1;\n".repeat(FILE_LINES);
        assert_eq!(rules("a.rs", &format!("{HEADER}{body}")), ["file-length"]);
        assert!(rules("a.rs", &format!("{HEADER}#[cfg(test)]\n{body}")).is_empty());
    }

    #[test]
    fn a_long_function_fails_at_the_first_line_over_the_limit() {
        assert!(rules("a.rs", &function_of(FUNCTION_LINES)).is_empty());
        assert_eq!(rules("a.rs", &function_of(FUNCTION_LINES + 1)), ["function-length"]);
    }

    #[test]
    fn braces_in_strings_and_methods_in_traits_do_not_confuse_the_count() {
        let trick = format!("{HEADER}trait T {{ fn a(x: [u8; 2]);\n fn b() {{ \"{{\"; }} }}\n");
        let code = code_only(&trick);
        let found = functions(&code);
        assert_eq!(found.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(found[0].lines, 1);
    }

    #[test]
    fn banned_macros_fail_in_code_but_not_in_words() {
        for word in BANNED_CODE {
            assert_eq!(rules("a.rs", &format!("{HEADER}fn f() {{ {word}() }}\n")), ["banned-word"]);
            assert!(rules("a.rs", &format!("{HEADER}// never {word}\n")).is_empty());
        }
    }

    #[test]
    fn banned_words_fail_in_every_kind_of_file() {
        for (word, _) in BANNED_TEXT {
            assert_eq!(rules("notes.md", &format!("see {word} there\n")), ["banned-word"]);
        }
    }
}
