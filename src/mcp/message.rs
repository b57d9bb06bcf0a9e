//! One JSON value from an agent, judged: a request with its id, a notification, a reply, or what is wrong with it;
//! and the line that answers a request. It never looks inside parameters.

use serde_json::{Map, Value, json};

/// What a line, or one element of a batch, is.
pub enum Message {
    Request {
        id: Value,
        method: String,
        params: Map<String, Value>,
    },
    Notification {
        method: String,
        params: Map<String, Value>,
    },
    /// An answer to a request of ours; we make none.
    Reply,
}

/// What a request comes to: its result, as JSON text, or why there is none.
pub type Outcome = Result<Vec<u8>, Failure>;

/// A JSON-RPC error.
pub struct Failure {
    code: Code,
    message: String,
    data: Option<Value>,
}

/// JSON-RPC's codes, and MCP's own.
#[derive(Clone, Copy)]
pub enum Code {
    ParseError = -32700,
    InvalidRequest = -32600,
    MethodNotFound = -32601,
    InvalidParams = -32602,
    ResourceNotFound = -32002,
    InternalError = -32603,
    UnsupportedProtocolVersion = -32022,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    pub fn with_data(self, data: Value) -> Self {
        Self { data: Some(data), ..self }
    }
}

/// A fault of the message itself, with the id to answer to: null where it has none that can be used.
pub struct Fault {
    pub id: Value,
    pub failure: Failure,
}

/// Reads one JSON-RPC 2.0 message.
pub fn judge(value: Value) -> Result<Message, Fault> {
    let Value::Object(mut fields) = value else {
        return Err(unusable(Value::Null, "a message is a JSON object"));
    };
    let id = fields.remove("id");
    let is_notification = id.is_none();
    let id = match id {
        Some(id @ (Value::String(_) | Value::Number(_))) => id,
        None => Value::Null,
        Some(_) => return Err(unusable(Value::Null, "`id` must be a string or a number")),
    };
    if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(unusable(id, "`jsonrpc` must be \"2.0\""));
    }
    let method = match fields.remove("method") {
        Some(Value::String(method)) => method,
        None if fields.contains_key("result") || fields.contains_key("error") => return Ok(Message::Reply),
        _ => return Err(unusable(id, "`method` must be a string")),
    };
    let params = match fields.remove("params") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) if is_notification => Map::new(),
        Some(_) => {
            return Err(Fault { id, failure: Failure::new(Code::InvalidParams, "`params` must be an object") });
        }
    };
    Ok(if is_notification { Message::Notification { method, params } } else { Message::Request { id, method, params } })
}

fn unusable(id: Value, why: &str) -> Fault {
    Fault { id, failure: Failure::new(Code::InvalidRequest, format!("not a JSON-RPC 2.0 message: {why}")) }
}

/// A notification of ours, as a line without its newline.
pub fn notification(method: &str) -> Vec<u8> {
    bytes(&json!({ "jsonrpc": "2.0", "method": method }))
}

/// The line that answers a request, without its newline.
pub fn line(id: &Value, outcome: &Outcome) -> Vec<u8> {
    let written;
    let (key, body) = match outcome {
        Ok(result) => ("result", result),
        Err(Failure { code, message, data }) => {
            let mut error = json!({ "code": *code as i32, "message": message });
            if let Some(data) = data {
                error["data"] = data.clone();
            }
            written = bytes(&error);
            ("error", &written)
        }
    };
    [br#"{"jsonrpc":"2.0","id":"#, bytes(id).as_slice(), br#",""#, key.as_bytes(), br#"":"#, body, b"}"].concat()
}

/// The text of a JSON value. Writing one to memory has no way to fail.
pub fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
