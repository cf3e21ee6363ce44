//! A line of a trace: one JSON object, written field by field.

use std::fmt::Write as _;

use floe_raft::{LogId, NodeId};

/// A reader of the description of an event.
pub trait Fields {
    /// A number.
    fn number(&mut self, name: &'static str, value: u64);
    /// A text.
    fn text(&mut self, name: &'static str, value: &str);
    /// The name of an entry.
    fn log_id(&mut self, name: &'static str, value: LogId);

    /// A node: in a world its id is its number. A server's is a hash too long for a number of JavaScript, so a server
    /// gives numbers of its own.
    fn node(&mut self, name: &'static str, value: NodeId) {
        self.number(name, value.0);
    }
}

/// A JSON object under construction. Numbers are as they are, an entry's name is `[index, term]`.
#[derive(Debug)]
pub struct Line {
    json: String,
}

impl Line {
    /// An event's line, which begins with the fields that all have.
    pub fn new(id: u64, at: u64, cause: u64) -> Self {
        let mut line = Self { json: String::with_capacity(160) };
        line.json.push('{');
        line.number("id", id);
        line.number("at", at);
        line.number("cause", cause);
        line
    }

    /// The whole line, without its newline.
    pub fn finish(mut self) -> String {
        self.json.push('}');
        self.json
    }

    fn name(&mut self, name: &str) {
        if !self.json.ends_with('{') {
            self.json.push(',');
        }
        self.json.push('"');
        self.json.push_str(name);
        self.json.push_str("\":");
    }
}

/// Appends a text as JSON writes it, in quotes.
pub fn quote(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

// Writing to a `String` cannot fail.
impl Fields for Line {
    fn number(&mut self, name: &'static str, value: u64) {
        self.name(name);
        let _ = write!(self.json, "{value}");
    }

    fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        quote(&mut self.json, value);
    }

    fn log_id(&mut self, name: &'static str, value: LogId) {
        self.name(name);
        let _ = write!(self.json, "[{},{}]", value.index, value.term);
    }
}

#[cfg(test)]
mod tests {
    use floe_raft::{Index, Term};

    use super::*;

    #[test]
    fn a_line_is_json_and_text_is_escaped() {
        let mut line = Line::new(1, 5, 0);
        line.text("kind", "alarm");
        line.text("what", "a \"quote\"\\\n\u{1}");
        line.log_id("last", LogId::new(Term(3), Index(9)));
        assert_eq!(
            line.finish(),
            r#"{"id":1,"at":5,"cause":0,"kind":"alarm","what":"a \"quote\"\\\n\u0001","last":[9,3]}"#
        );
    }
}
