//! What the engine answers when it cannot do what it is asked for.

use floe_sim::StageError;
use serde_json::{Value, json};

/// A refusal: of which kind, and a sentence for the viewer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The request is not one.
    #[error("{0}")]
    Json(String),
    /// No world is like that.
    #[error("{0}")]
    Settings(String),
    /// It cannot be done, or not now.
    #[error("{0}")]
    Action(String),
    /// There is no world yet.
    #[error("no world is open: call `open` with settings first")]
    NoWorld,
    /// It goes beyond a limit.
    #[error("{0}")]
    TooLong(String),
}

impl Refused {
    pub(crate) fn to_json(&self) -> Value {
        let what = match self {
            Self::Json(_) => "bad-json",
            Self::Settings(_) => "bad-settings",
            Self::Action(_) => "bad-action",
            Self::NoWorld => "no-world",
            Self::TooLong(_) => "too-long",
        };
        json!({ "error": { "what": what, "detail": self.to_string() } })
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
