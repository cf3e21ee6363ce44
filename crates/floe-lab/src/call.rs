//! What the page may ask for.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::Refused;

/// No request is longer.
const LONGEST: usize = 4 << 20;

/// The names of all calls.
const NAMES: [&str; 11] =
    ["open", "seek", "step", "act", "state", "events", "entry", "settings", "mutants", "as_test", "hash"];

/// A call with its fields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Call {
    Open(Open),
    Seek(Seek),
    Step(Step),
    Act(Act),
    State,
    Events(Events),
    Entry(Entry),
    Settings,
    Mutants,
    AsTest,
    Hash(Hash),
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Open {
    pub(crate) settings: Value,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seek {
    pub(crate) at: u64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    #[serde(default = "one")]
    pub(crate) count: u64,
    #[serde(default)]
    pub(crate) back: bool,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Act {
    pub(crate) action: Value,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Events {
    #[serde(default)]
    pub(crate) after: u64,
    #[serde(default = "many")]
    pub(crate) limit: u64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) index: u64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hash {
    pub(crate) seed: Seed,
    #[serde(default)]
    pub(crate) seconds: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// A seed. JavaScript's numbers do not hold all 64 bits; a string does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Seed {
    Number(u64),
    Text(String),
}

impl Seed {
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

fn one() -> u64 {
    1
}

fn many() -> u64 {
    1_000
}

impl Call {
    /// The call of a request.
    pub(crate) fn parse(request: &str) -> Result<Self, Refused> {
        if request.len() > LONGEST {
            return Err(Refused::TooLong(format!("a request is at most {LONGEST} bytes")));
        }
        let value: Value = serde_json::from_str(request)
            .map_err(|error| Refused::Json(format!("the request is no JSON: {error}")))?;
        let Value::Object(mut fields) = value else {
            return Err(Refused::Json("the request is no JSON object".to_owned()));
        };
        let Some(Value::String(name)) = fields.remove("call") else {
            return Err(Refused::Json("the request has no `call`".to_owned()));
        };
        Ok(match name.as_str() {
            "open" => Self::Open(of(&name, fields)?),
            "seek" => Self::Seek(of(&name, fields)?),
            "step" => Self::Step(of(&name, fields)?),
            "act" => Self::Act(of(&name, fields)?),
            "events" => Self::Events(of(&name, fields)?),
            "entry" => Self::Entry(of(&name, fields)?),
            "hash" => Self::Hash(of(&name, fields)?),
            "state" => plain(&name, fields, Self::State)?,
            "settings" => plain(&name, fields, Self::Settings)?,
            "mutants" => plain(&name, fields, Self::Mutants)?,
            "as_test" => plain(&name, fields, Self::AsTest)?,
            _ => {
                return Err(Refused::Json(format!(
                    "there is no call {name:?}; there are {}",
                    NAMES.join(", ")
                )));
            }
        })
    }
}

fn of<T: DeserializeOwned>(name: &str, fields: Map<String, Value>) -> Result<T, Refused> {
    serde_json::from_value(Value::Object(fields)).map_err(|error| Refused::Json(format!("{name}: {error}")))
}

fn plain(name: &str, fields: Map<String, Value>, call: Call) -> Result<Call, Refused> {
    of::<Nothing>(name, fields).map(|Nothing {}| call)
}
