//! Why something happened: the event, its chain of causes, what came of it, and the rule at work.

use floe_sim::Stage;

use crate::error::Refused;
use crate::history::{History, Line};
use crate::json::Json;
use crate::rule::rule;

/// The answer to `explain`; `by_lease` says how reads are answered.
pub(crate) fn explain(stage: &Stage, event: u64, by_lease: bool) -> Result<String, Refused> {
    let history = History(stage);
    let Some(line) = history.line(event) else {
        let last = stage.events();
        return Err(Refused::Json(format!("there is no event {event} yet: the last one is {last}")));
    };
    let (causes, effects) = (history.causes(&line), history.effects(&line));
    let rule = rule(&history, &line, &causes, &effects, by_lease);
    let lines = |lines: &[Line]| Json::List(lines.iter().map(|line| line.json().clone()).collect());
    let fields = [
        ("event", line.json().clone()),
        ("causes", lines(&causes)),
        ("effects", lines(&effects)),
        ("rule", Json::Text(rule.to_owned())),
    ];
    Ok(Json::Object(fields.map(|(name, value)| (name.to_owned(), value)).into()).to_text())
}
