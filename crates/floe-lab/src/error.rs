//! What the engine answers when it cannot do what it is asked for.

use floe_sim::StageError;

use crate::json::Json;

/// A refusal: of which kind, and a sentence for the viewer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The request is not one.
    Json(String),
    /// No world is like that.
    Settings(String),
    /// It cannot be done, or not now.
    Action(String),
    /// There is no world yet.
    NoWorld,
    /// It goes beyond a limit.
    TooLong(String),
}

impl Refused {
    pub(crate) fn to_json(&self) -> Json {
        let (what, detail) = match self {
            Self::Json(detail) => ("bad-json", detail.as_str()),
            Self::Settings(detail) => ("bad-settings", detail.as_str()),
            Self::Action(detail) => ("bad-action", detail.as_str()),
            Self::NoWorld => ("no-world", "no world is open: call `open` with settings first"),
            Self::TooLong(detail) => ("too-long", detail.as_str()),
        };
        let text = |text: &str| Json::Text(text.to_owned());
        let error = vec![("what".to_owned(), text(what)), ("detail".to_owned(), text(detail))];
        Json::Object(vec![("error".to_owned(), Json::Object(error))])
    }
}

impl From<StageError> for Refused {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Setup(reason) => Self::Settings(reason),
            StageError::Act(reason) | StageError::Refused(reason) => Self::Action(reason),
            StageError::TooLong(reason) => Self::TooLong(reason),
        }
    }
}
