//! A trace, looked up by its lines: what led to an event, what came of it, and what a node had said of itself before.

use floe_sim::Stage;

use crate::json::Json;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line(Json);

impl Line {
    /// The number in a field; zero, which stands for none, if it is not there.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.0.get(name).and_then(Json::as_number).unwrap_or(0)
    }

    /// The text in a field; empty if it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Json::as_text).unwrap_or("")
    }

    /// Whether there is such a field.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some()
    }

    /// An entry's name, as logs are compared: term, then index.
    pub(crate) fn log_id(&self, name: &str) -> Option<(u64, u64)> {
        match self.0.get(name)? {
            Json::List(parts) => match parts.as_slice() {
                [index, term] => Some((term.as_number()?, index.as_number()?)),
                _ => None,
            },
            _ => None,
        }
    }

    pub(crate) fn kind(&self) -> &str {
        self.text("kind")
    }

    pub(crate) fn id(&self) -> u64 {
        self.number("id")
    }

    pub(crate) fn json(&self) -> &Json {
        &self.0
    }
}

/// The most causes that are told.
const CAUSES: usize = 24;
/// The most effects that are told.
const EFFECTS: usize = 24;
/// How far one looks for effects: what an event causes is written at once, or when it arrives.
const AHEAD: usize = 4_000;

/// The lines up to now.
pub(crate) struct History<'a>(pub(crate) &'a Stage);

impl History<'_> {
    /// The line of an event.
    pub(crate) fn line(&self, event: u64) -> Option<Line> {
        let text = self.0.with_lines(event.checked_sub(1)?, 1, |lines| lines.first().cloned())?;
        Json::parse(&text).ok().map(Line)
    }

    /// What led to it, the nearest first.
    pub(crate) fn causes(&self, line: &Line) -> Vec<Line> {
        let mut causes: Vec<Line> = Vec::new();
        let mut cause = line.number("cause");
        while let Some(line) = self.line(cause) {
            if causes.len() == CAUSES {
                break;
            }
            cause = line.number("cause");
            causes.push(line);
        }
        causes
    }

    /// What came of it.
    pub(crate) fn effects(&self, line: &Line) -> Vec<Line> {
        let mark = format!("\"cause\":{},", line.id());
        self.0.with_lines(line.id(), AHEAD, |lines| {
            let caused = lines.iter().filter(|text| text.contains(&mark));
            caused.take(EFFECTS).filter_map(|text| Json::parse(text).ok().map(Line)).collect()
        })
    }

    /// The last line of these kinds that a node wrote before an event, and that is as wanted.
    pub(crate) fn before(
        &self,
        event: u64,
        node: u64,
        kinds: &[&str],
        wanted: impl Fn(&Line) -> bool,
    ) -> Option<Line> {
        let mark = format!("\"node\":{node}");
        self.0.with_lines(0, usize::try_from(event.saturating_sub(1)).unwrap_or(usize::MAX), |lines| {
            let own = lines.iter().rev().filter(|text| text.contains(&mark));
            let known =
                own.filter(|text| kinds.iter().any(|kind| text.contains(&format!("\"kind\":\"{kind}\""))));
            known
                .filter_map(|text| Json::parse(text).ok().map(Line))
                .find(|line| line.number("node") == node && kinds.contains(&line.kind()) && wanted(line))
        })
    }
}
