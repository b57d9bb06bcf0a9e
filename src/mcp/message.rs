//! One JSON value from an agent, judged: a request with its id, a notification, a reply, or what is wrong with it.
//! The SDK's own reading turns malformed parameters into "method not found"; here each fault gets its sentence.
//! It never looks inside a tool's arguments.

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientRequest, CustomRequest, DiscoverRequest, GetExtensions,
    InitializeRequest, InitializeRequestParams, ListToolsRequest, PaginatedRequestParams, PingRequest,
    RequestMetaObject,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

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

/// A fault of the message itself, with the id to answer to: null where it has none that can be used.
pub struct Fault {
    pub id: Value,
    pub error: ErrorData,
}

/// Reads one JSON-RPC 2.0 message.
pub fn judge(value: Value) -> Result<Message, Box<Fault>> {
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
            return Err(Box::new(Fault { id, error: ErrorData::invalid_params("`params` must be an object", None) }));
        }
    };
    Ok(if is_notification { Message::Notification { method, params } } else { Message::Request { id, method, params } })
}

fn unusable(id: Value, why: &'static str) -> Box<Fault> {
    Box::new(Fault { id, error: ErrorData::invalid_request(format!("not a JSON-RPC 2.0 message: {why}"), None) })
}

/// The SDK's request for a method, with `extension` (our operation id) and `_meta` where it looks for them.
pub fn request<E: Clone + Send + Sync + 'static>(
    method: &str,
    mut params: Map<String, Value>,
    extension: E,
) -> Result<ClientRequest, ErrorData> {
    let meta = match params.remove("_meta") {
        Some(meta @ Value::Object(_)) => Some(typed::<RequestMetaObject>("_meta", meta)?),
        Some(Value::Null) | None => None,
        Some(_) => return Err(ErrorData::invalid_params("`_meta` must be an object", None)),
    };
    let mut request: ClientRequest = match method {
        "initialize" => InitializeRequest::new(typed::<InitializeRequestParams>(method, Value::Object(params))?).into(),
        "ping" => PingRequest::default().into(),
        "server/discover" => DiscoverRequest::default().into(),
        "tools/list" if params.is_empty() => ListToolsRequest::default().into(),
        "tools/list" => {
            ListToolsRequest::with_param(typed::<PaginatedRequestParams>(method, Value::Object(params))?).into()
        }
        "tools/call" => CallToolRequest::new(typed::<CallToolRequestParams>(method, Value::Object(params))?).into(),
        _ => CustomRequest::new(method, None).into(),
    };
    let extensions = request.extensions_mut();
    extensions.insert(extension);
    if let Some(meta) = meta {
        extensions.insert(meta);
    }
    Ok(request)
}

fn typed<T: DeserializeOwned>(what: &str, value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value)
        .map_err(|error| ErrorData::invalid_params(format!("the parameters of `{what}` are wrong: {error}"), None))
}

/// A response line, without its newline.
pub fn response(id: &Value, result: &impl Serialize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a, R> {
        jsonrpc: &'static str,
        id: &'a Value,
        result: &'a R,
    }
    bytes(&Line { jsonrpc: "2.0", id, result })
}

/// An error line, without its newline.
pub fn failure(id: &Value, error: &ErrorData) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a> {
        jsonrpc: &'static str,
        id: &'a Value,
        error: &'a ErrorData,
    }
    bytes(&Line { jsonrpc: "2.0", id, error })
}

/// Plain data with text keys always serialises; the fallback keeps the promise of one answer even so.
pub fn bytes(line: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(line).unwrap_or_else(|_| {
        br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"an answer could not be written"}}"#.to_vec()
    })
}
