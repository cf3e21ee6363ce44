//! The engine as the page sees it: requests in, answers out.

mod explained;
mod fuzz;
mod replay;
mod worlds;

use floe_lab::Engine;
use serde_json::Value;

/// What the engine answers, of a call that it grants.
fn ask(engine: &mut Engine, request: &Value) -> Value {
    let answer = refuse_or_ask(engine, request);
    assert!(answer.get("error").is_none(), "{request} is refused: {answer}");
    answer["ok"].clone()
}

/// What the engine answers.
fn refuse_or_ask(engine: &mut Engine, request: &Value) -> Value {
    serde_json::from_str(&engine.call(&request.to_string())).expect("every answer is JSON")
}
