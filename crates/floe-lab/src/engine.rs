//! The engine: at most one world, and the calls that drive it.

use floe_sim::{Moment, Mutant, Options, Restrictions, run};
use serde_json::{Value, json};

use crate::action;
use crate::call::{Call, Hash, Step};
use crate::error::Refused;
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
            Err(refused) => refused.to_json().to_string(),
        }
    }

    fn answer(&mut self, call: Call) -> Result<String, Refused> {
        match call {
            Call::Open(open) => {
                let opened = settings::open(open.settings)?;
                let state = opened.stage.state();
                self.opened = Some(opened);
                Ok(state)
            }
            Call::Mutants => Ok(mutants().to_string()),
            Call::Hash(hash) => hash_of(&hash),
            call => {
                let opened = self.opened.as_mut().ok_or(Refused::NoWorld)?;
                opened.answer(call)
            }
        }
    }
}

impl Opened {
    fn answer(&mut self, call: Call) -> Result<String, Refused> {
        match call {
            Call::Seek(seek) => {
                if Moment(seek.at) > floe_sim::LONGEST {
                    return Err(Refused::TooLong("a world lasts ten minutes at most".to_owned()));
                }
                self.stage.seek(Moment(seek.at));
                Ok(self.stage.state())
            }
            Call::Step(step) => {
                self.step(&step)?;
                Ok(self.stage.state())
            }
            Call::Act(act) => {
                let mut action = act.action;
                // A link's action may be given as it is; it is done now all the same.
                if action.get("at").is_some() {
                    return Err(Refused::Action("an action is done now: `at` is for settings".to_owned()));
                }
                self.stage.act(action::parse(&action)?)?;
                self.actions.truncate(self.stage.acts_done() - 1);
                self.actions.push((self.stage.now().0, action.take()));
                Ok(self.stage.state())
            }
            Call::State => Ok(self.stage.state()),
            Call::Events(events) => {
                let limit = usize::try_from(events.limit.min(MOST_LINES)).unwrap_or(usize::MAX);
                let (lines, count) =
                    self.stage.with_lines(events.after, limit, |lines| (lines.join(","), lines.len() as u64));
                let last = events.after.min(self.stage.events()) + count;
                Ok(format!("{{\"events\":[{lines}],\"last\":{last}}}"))
            }
            Call::Entry(entry) => Ok(self.stage.entry(entry.index)),
            Call::Settings => Ok(self.settings().to_string()),
            Call::AsTest => Ok(json!({ "text": self.as_test() }).to_string()),
            Call::Open(_) | Call::Mutants | Call::Hash(_) => Err(Refused::NoWorld),
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), Refused> {
        if step.count > MOST_STEPS {
            return Err(Refused::TooLong(format!("a call goes {MOST_STEPS} steps at most")));
        }
        if step.back {
            self.stage.step_back(step.count);
        } else {
            for _ in 0..step.count {
                self.stage.step();
            }
        }
        Ok(())
    }

    /// The settings with what was done up to now.
    fn settings(&self) -> Value {
        let mut settings = self.settings.clone();
        let done = self.actions.iter().take(self.stage.acts_done()).map(|(at, action)| {
            let mut action = action.clone();
            action["at"] = json!(at);
            action
        });
        settings["actions"] = done.collect();
        settings
    }

    /// A test that replays the world up to now, and wants what is seen now.
    fn as_test(&self) -> String {
        let settings = self.settings().to_string();
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

fn mutants() -> Value {
    Mutant::all()
        .into_iter()
        .map(|mutant| json!({ "name": mutant.name(), "origin": mutant.origin() }))
        .collect()
}

fn hash_of(hash: &Hash) -> Result<String, Refused> {
    let seed =
        hash.seed.number().ok_or_else(|| Refused::Json("the seed is no number of 64 bits".to_owned()))?;
    if hash.seconds.is_some_and(|seconds| seconds > 600) {
        return Err(Refused::TooLong("a world lasts ten minutes at most".to_owned()));
    }
    let restrictions = Restrictions { seconds: hash.seconds, ..Restrictions::default() };
    let outcome = run(seed, &Options { restrictions, mutant: None });
    Ok(json!({ "hash": outcome.hash.to_string(), "events": outcome.statistics.traced }).to_string())
}
