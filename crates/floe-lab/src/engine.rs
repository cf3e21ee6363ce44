//! The engine: at most one world, and the calls that drive it.

use floe_sim::{LONGEST, Moment, Mutant, Options, Restrictions, run};

use crate::action;
use crate::call::Call;
use crate::error::Refused;
use crate::explain::explain;
use crate::json::Json;
use crate::settings::{self, Opened};

/// The most steps of one call.
const MOST_STEPS: u64 = 10_000;
/// The most lines of one call.
const MOST_LINES: u64 = 20_000;

/// One viewer's engine. It is not `Send`: a host of many gives each a thread of its own.
#[derive(Default)]
pub struct Engine {
    opened: Option<Opened>,
}

impl Engine {
    /// An engine without a world.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a request of `docs/design/lab.md`. Whatever is asked, the answer is JSON, and nothing panics.
    pub fn call(&mut self, request: &str) -> String {
        match Call::parse(request).and_then(|call| self.answer(call)) {
            Ok(answer) => format!("{{\"ok\":{answer}}}"),
            Err(refused) => refused.to_json().to_text(),
        }
    }

    fn answer(&mut self, call: Call) -> Result<String, Refused> {
        match call {
            Call::Open(settings) => {
                let opened = settings::open(settings)?;
                let state = opened.stage.state();
                self.opened = Some(opened);
                Ok(state)
            }
            Call::Mutants => Ok(mutants().to_text()),
            Call::Hash { seed, seconds } => hash_of(seed, seconds),
            call => self.opened.as_mut().ok_or(Refused::NoWorld)?.answer(call),
        }
    }
}

impl Opened {
    fn answer(&mut self, call: Call) -> Result<String, Refused> {
        match call {
            Call::Seek { at } => {
                if Moment(at) > LONGEST {
                    return Err(Refused::TooLong("a world lasts ten minutes at most".to_owned()));
                }
                self.stage.seek(Moment(at));
                Ok(self.stage.state())
            }
            Call::Step { count, back } => {
                self.step(count, back)?;
                Ok(self.stage.state())
            }
            Call::Act(action) => {
                self.stage.act(action::parse(action.clone())?)?;
                self.actions.truncate(self.stage.acts_done() - 1);
                self.actions.push((self.stage.now().0, action));
                Ok(self.stage.state())
            }
            Call::State => Ok(self.stage.state()),
            Call::Events { after, limit } => {
                let limit = usize::try_from(limit.min(MOST_LINES)).unwrap_or(usize::MAX);
                let (lines, count) =
                    self.stage.with_lines(after, limit, |lines| (lines.join(","), lines.len() as u64));
                let last = after.min(self.stage.events()) + count;
                Ok(format!("{{\"events\":[{lines}],\"last\":{last}}}"))
            }
            Call::Entry { index } => Ok(self.stage.entry(index)),
            Call::Explain { event } => explain(&self.stage, event, self.reads_by_lease()),
            Call::Settings => Ok(self.settings().to_text()),
            Call::AsTest => {
                let text = vec![("text".to_owned(), Json::Text(self.as_test()))];
                Ok(Json::Object(text).to_text())
            }
            Call::Open(_) | Call::Mutants | Call::Hash { .. } => Err(Refused::NoWorld),
        }
    }

    fn step(&mut self, count: u64, back: bool) -> Result<(), Refused> {
        if count > MOST_STEPS {
            return Err(Refused::TooLong(format!("a call goes {MOST_STEPS} steps at most")));
        }
        if back {
            self.stage.step_back(count);
        } else {
            for _ in 0..count {
                self.stage.step();
            }
        }
        Ok(())
    }

    fn reads_by_lease(&self) -> bool {
        let reads = self.settings.iter().find(|(name, _)| name == "reads");
        reads.and_then(|(_, reads)| reads.as_text()) == Some("lease")
    }

    /// The settings with what was done up to now.
    fn settings(&self) -> Json {
        let mut settings = self.settings.clone();
        let done = self.actions.iter().take(self.stage.acts_done()).map(|(at, action)| {
            let mut timed = vec![("at".to_owned(), Json::number(*at))];
            if let Json::Object(fields) = action {
                timed.extend(fields.iter().cloned());
            }
            Json::Object(timed)
        });
        settings.push(("actions".to_owned(), Json::List(done.collect())));
        Json::Object(settings)
    }

    /// A test that replays the world up to now, and wants what is seen now.
    fn as_test(&self) -> String {
        let settings = self.settings().to_text();
        // As many marks as no text in the settings has in a row.
        let longest =
            settings.split('"').map(|part| part.bytes().take_while(|byte| *byte == b'#').count()).max();
        let marks = "#".repeat(longest.unwrap_or(0) + 1);
        let verdict = match self.stage.violation() {
            None => r#""verdict":{"holds":true"#.to_owned(),
            Some(violation) => format!(r#""rule":"{}""#, violation.invariant.name()),
        };
        let (at, events) = (self.stage.now().0, self.stage.events());
        format!(
            r####"#[test]
fn a_world_of_the_lab() {{
    let mut engine = floe_lab::Engine::new();
    let opened = engine.call(r{marks}"{{"call":"open","settings":{settings}}}"{marks});
    assert!(opened.starts_with(r#"{{"ok":"#), "{{opened}}");
    let state = engine.call(r#"{{"call":"seek","at":{at}}}"#);
    assert!(state.contains(r#""event":{events},"#), "{{state}}");
    assert!(state.contains(r#"{verdict}"#), "{{state}}");
}}
"####
        )
    }
}

fn mutants() -> Json {
    let text = |text: &str| Json::Text(text.to_owned());
    let known = Mutant::all().into_iter().map(|mutant| {
        let fields = [("name", text(mutant.name())), ("origin", text(mutant.origin()))];
        Json::Object(fields.map(|(name, value)| (name.to_owned(), value)).into())
    });
    Json::List(known.collect())
}

fn hash_of(seed: u64, seconds: Option<u64>) -> Result<String, Refused> {
    if seconds.is_some_and(|seconds| seconds > 600) {
        return Err(Refused::TooLong("a world lasts ten minutes at most".to_owned()));
    }
    let restrictions = Restrictions { seconds, ..Restrictions::default() };
    let outcome = run(seed, &Options { restrictions, mutant: None });
    Ok(format!("{{\"hash\":\"{}\",\"events\":{}}}", outcome.hash, outcome.statistics.traced))
}
