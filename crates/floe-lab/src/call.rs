//! What the page may ask for.

use crate::error::Refused;
use crate::fields::{Fields, Wrong};
use crate::json::Json;

/// No request is longer.
const LONGEST: usize = 4 << 20;
/// How many lines of the trace one gets who does not say how many.
const SOME_LINES: u64 = 1_000;

/// A call with its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Open(Json),
    Seek { at: u64 },
    Step { count: u64, back: bool },
    Act(Json),
    State,
    Events { after: u64, limit: u64 },
    Entry { index: u64 },
    Explain { event: u64 },
    Settings,
    Mutants,
    AsTest,
    Hash { seed: u64, seconds: Option<u64> },
}

impl Call {
    /// The call of a request.
    pub(crate) fn parse(request: &str) -> Result<Self, Refused> {
        if request.len() > LONGEST {
            return Err(Refused::TooLong(format!("a request is at most {LONGEST} bytes")));
        }
        let value = Json::parse(request)
            .map_err(|wrong| Refused::Json(format!("the request is no JSON: {wrong}")))?;
        Self::of(value).map_err(Refused::Json)
    }

    fn of(value: Json) -> Result<Self, Wrong> {
        let mut fields = Fields::of(value, "the request")?;
        let Some(name) = fields.text("call")? else {
            return Err("the request has no `call`".to_owned());
        };
        let call = match name.as_str() {
            "open" => Self::Open(fields.take("settings").ok_or("`open` has no `settings`")?),
            "seek" => Self::Seek { at: fields.needed("at")? },
            "step" => Self::Step {
                count: fields.number("count")?.unwrap_or(1),
                back: fields.flag("back")?.unwrap_or(false),
            },
            "act" => Self::Act(fields.take("action").ok_or("`act` has no `action`")?),
            "state" => Self::State,
            "events" => Self::Events {
                after: fields.number("after")?.unwrap_or(0),
                limit: fields.number("limit")?.unwrap_or(SOME_LINES),
            },
            "entry" => Self::Entry { index: fields.needed("index")? },
            "explain" => Self::Explain { event: fields.needed("event")? },
            "settings" => Self::Settings,
            "mutants" => Self::Mutants,
            "as_test" => Self::AsTest,
            "hash" => Self::Hash {
                seed: fields.seed("seed")?.ok_or("`hash` has no `seed`")?,
                seconds: fields.number("seconds")?,
            },
            _ => return Err(format!("there is no call `{name}`")),
        };
        fields.end(&format!("`{name}`"))?;
        Ok(call)
    }
}
