//! Rust text with everything that is not code blanked out, so that simple searches see code only.

/// Replaces comments, strings and character literals by spaces. Line breaks stay, so line numbers do, too; every
/// other character that stays keeps its place among the characters of its line.
pub(super) fn code_only(source: &str) -> String {
    let characters: Vec<char> = source.chars().collect();
    let mut masked = String::with_capacity(source.len());
    let mut at = 0;
    while at < characters.len() {
        let end = skip(&characters, at);
        if end > at {
            masked.extend(characters[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            masked.push(characters[at]);
            at += 1;
        }
    }
    masked
}

/// The end of the comment or literal that begins at `at`; `at` itself where none does.
fn skip(characters: &[char], at: usize) -> usize {
    let next = |offset: usize| characters.get(at + offset).copied().unwrap_or('\0');
    match (characters[at], next(1)) {
        ('/', '/') => characters[at..].iter().position(|&c| c == '\n').map_or(characters.len(), |n| at + n),
        ('/', '*') => block_comment(characters, at),
        ('"', _) => quoted(characters, at + 1, '"'),
        ('r', '"' | '#') if !continues_word(characters, at) => raw_string(characters, at),
        ('\'', '\\') => quoted(characters, at + 1, '\''),
        // A lifetime has no closing quote two characters on.
        ('\'', _) if next(2) == '\'' => at + 3,
        _ => at,
    }
}

fn continues_word(characters: &[char], at: usize) -> bool {
    // `br"..."` is a raw string, too, so a lone b before the r does not count.
    let before = |n: usize| at.checked_sub(n).map(|i| characters[i]);
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if before(1) == Some('b') { word(before(2)) } else { word(before(1)) }
}

fn block_comment(characters: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < characters.len() {
        match (characters[at], characters.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn quoted(characters: &[char], mut at: usize, close: char) -> usize {
    while at < characters.len() {
        match characters[at] {
            '\\' => at += 2,
            c if c == close => return at + 1,
            _ => at += 1,
        }
    }
    characters.len()
}

fn raw_string(characters: &[char], start: usize) -> usize {
    let hashes = characters[start + 1..].iter().take_while(|&&c| c == '#').count();
    let open = start + 1 + hashes;
    if characters.get(open) != Some(&'"') {
        return start; // a raw identifier such as r#type
    }
    let mut at = open + 1;
    while at < characters.len() {
        if characters[at] == '"' && characters[at + 1..].iter().take_while(|&&c| c == '#').count() >= hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    characters.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_go_and_code_stays() {
        let source = "let a = \"{ \\\" }\"; // {\nlet b = '{'; /* { /* } */ */ let c: &'a str = r#\"}\"{\"#;";
        let masked = code_only(source);
        assert!(!masked.contains(['{', '}']), "{masked}");
        assert!(masked.contains("let b") && masked.contains("let c: &'a str"));
        assert_eq!(masked.lines().count(), 2);
    }

    #[test]
    fn escaped_quotes_end_nothing() {
        assert_eq!(code_only(r"let q = '\''; fn x() {}").trim_end(), "let q =     ; fn x() {}");
        assert!(code_only(r#"let q = b"\\"; fn x() {}"#).contains("fn x() {}"));
    }

    #[test]
    fn a_raw_identifier_is_code() {
        assert_eq!(code_only("r#type"), "r#type");
    }
}
