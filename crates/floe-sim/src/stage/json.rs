//! JSON as it is written, without a value in between.

use std::fmt::Write as _;

use floe_raft::{LogId, NodeId};
use floe_trace::quote;

/// An object under construction.
pub(crate) struct Object<'a>(&'a mut String);

/// Appends an object.
pub(crate) fn object(out: &mut String, fill: impl FnOnce(&mut Object<'_>)) {
    out.push('{');
    fill(&mut Object(out));
    out.push('}');
}

/// Appends a list.
fn list<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut String, T)) {
    out.push('[');
    for (number, item) in items.into_iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

// Writing to a `String` cannot fail.
impl Object<'_> {
    fn name(&mut self, name: &str) -> &mut String {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        quote(self.0, name);
        self.0.push(':');
        self.0
    }

    pub(crate) fn number(&mut self, name: &str, value: u64) {
        let _ = write!(self.name(name), "{value}");
    }

    pub(crate) fn signed(&mut self, name: &str, value: i64) {
        let _ = write!(self.name(name), "{value}");
    }

    pub(crate) fn maybe(&mut self, name: &str, value: Option<u64>) {
        match value {
            Some(value) => self.number(name, value),
            None => self.nothing(name),
        }
    }

    pub(crate) fn nothing(&mut self, name: &str) {
        self.name(name).push_str("null");
    }

    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        self.name(name).push_str(if value { "true" } else { "false" });
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        quote(self.name(name), value);
    }

    pub(crate) fn log_id(&mut self, name: &str, value: LogId) {
        let _ = write!(self.name(name), "[{},{}]", value.index, value.term);
    }

    pub(crate) fn nodes<'n>(&mut self, name: &str, nodes: impl IntoIterator<Item = &'n NodeId>) {
        list(self.name(name), nodes, |out, node| {
            let _ = write!(out, "{}", node.0);
        });
    }

    pub(crate) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        object(self.name(name), fill);
    }

    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut Object<'_>, T),
    ) {
        list(self.name(name), items, |out, item| object(out, |object| fill(object, item)));
    }
}
