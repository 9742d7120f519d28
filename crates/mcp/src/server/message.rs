//! Reading one message: what it is, or why it is none.
//!
//! rmcp drops the id of a message that it cannot read, and takes wrong parameters for an unknown method. So each message is
//! looked at here before rmcp reads it, on both transports, and one that is refused is answered with its id where that can
//! be read: a client that waits for an answer gets one.

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CancelTaskParams, ClientJsonRpcMessage, ClientRequest, ErrorCode, GetTaskParams,
    InitializeRequestParams, JsonRpcMessage, PaginatedRequestParams, UpdateTaskParams,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::id;

/// The methods of requests that this server answers.
const METHODS: [&str; 8] = [
    "initialize",
    "ping",
    "server/discover",
    "tools/list",
    "tools/call",
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
];

/// The longest reason that a client is told, in characters.
const REASON: usize = 300;

/// A message that is refused before anybody works on it.
#[derive(Debug)]
pub(super) struct Refusal {
    id: Option<Value>,
    pub(super) error: ErrorData,
}

impl Refusal {
    /// A refusal of the message of these bytes, which may be only a part of it.
    pub(super) fn of(bytes: &[u8], error: ErrorData) -> Box<Self> {
        let mut scan = id::Scan::default();
        scan.read(bytes);
        Box::new(Self { id: scan.found(), error })
    }

    pub(super) fn with_id(id: Option<Value>, error: ErrorData) -> Box<Self> {
        Box::new(Self { id, error })
    }

    /// The answer as the protocol writes it. Without an id that can be read it has none.
    pub(super) fn answer(&self) -> Value {
        let mut answer = json!({ "jsonrpc": "2.0", "error": self.error });
        if let Some(id) = &self.id {
            answer["id"] = id.clone();
        }
        answer
    }
}

/// Reads one message.
pub(super) fn read(bytes: &[u8]) -> Result<ClientJsonRpcMessage, Box<Refusal>> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        let why = format!("the message is not JSON: {error}");
        Refusal::of(bytes, ErrorData::parse_error(why, None))
    })?;
    let Value::Object(object) = &value else {
        let why = match value {
            Value::Array(_) => "batches are not part of this protocol; send one message at a time",
            _ => "a message is a JSON object",
        };
        return Err(Refusal::with_id(None, ErrorData::invalid_request(why, None)));
    };
    let id = object.get("id").filter(|id| id.is_string() || id.is_i64()).cloned();
    if let Some(why) = wrong_with(object) {
        return Err(Refusal::with_id(id, ErrorData::invalid_request(why, None)));
    }
    let params = object.get("params").cloned().unwrap_or(Value::Null);
    let message = serde_json::from_value::<ClientJsonRpcMessage>(value).map_err(|error| {
        let why = format!("the message is none of this protocol: {}", short(&error));
        Refusal::with_id(id.clone(), ErrorData::invalid_request(why, None))
    })?;
    let JsonRpcMessage::Request(request) = &message else { return Ok(message) };
    let method = request.request.method();
    if !METHODS.contains(&method) {
        let why = format!("there is no method `{}`; there are: {}", cut(method), METHODS.join(", "));
        return Err(Refusal::with_id(id, ErrorData::new(ErrorCode::METHOD_NOT_FOUND, why, None)));
    }
    match request.request {
        // rmcp takes it for a method of somebody else when it cannot read the parameters.
        ClientRequest::CustomRequest(_) => {
            let why = format!("the parameters of `{method}` do not fit: {}", misfit(method, params));
            Err(Refusal::with_id(id, ErrorData::invalid_params(why, None)))
        }
        _ => Ok(message),
    }
}

/// Returns the fault in a message's frame.
fn wrong_with(object: &Map<String, Value>) -> Option<&'static str> {
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Some("`jsonrpc` must be \"2.0\"");
    }
    if object.get("id").is_some_and(|id| !id.is_string() && !id.is_i64()) {
        return Some("`id` must be a string or an integer of 64 bits");
    }
    match object.get("method") {
        Some(Value::String(_)) => {}
        Some(_) => return Some("`method` must be a string"),
        None if object.contains_key("result") || object.contains_key("error") => {}
        None => return Some("a message has a `method`, a `result` or an `error`"),
    }
    object.get("params").is_some_and(|params| !params.is_object()).then_some("`params` must be an object")
}

/// Why these parameters are none of this method.
fn misfit(method: &str, params: Value) -> String {
    match method {
        "initialize" => why::<InitializeRequestParams>(params),
        "tools/list" => why::<PaginatedRequestParams>(params),
        "tools/call" => why::<CallToolRequestParams>(params),
        "tasks/get" => why::<GetTaskParams>(params),
        "tasks/update" => why::<UpdateTaskParams>(params),
        "tasks/cancel" => why::<CancelTaskParams>(params),
        _ => "they have another shape".to_owned(),
    }
}

fn why<T: DeserializeOwned>(params: Value) -> String {
    let params = if params.is_null() { json!({}) } else { params };
    match serde_json::from_value::<T>(params) {
        Ok(_) => "they have another shape".to_owned(),
        Err(error) => short(&error),
    }
}

/// An error may quote what it met, of any length.
fn short(error: &serde_json::Error) -> String {
    cut(&error.to_string()).to_owned()
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(REASON).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (i32, Option<Value>, String) {
        let refusal = read(text.as_bytes()).unwrap_err();
        let answer = refusal.answer();
        (refusal.error.code.0, answer.get("id").cloned(), refusal.error.message.into_owned())
    }

    #[test]
    fn parameters_that_do_not_fit_are_named_and_the_method_stays_known() {
        for (params, named) in [
            ("{}", "name"),
            (r#"{"name":5}"#, "name"),
            (r#"{"name":"a","arguments":"b"}"#, "string"),
            (r#"{"name":"a","arguments":[]}"#, "sequence"),
        ] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{params}}}"#);
            let (code, id, message) = refused(&text);
            assert_eq!((code, id), (-32602, Some("x".into())), "{message}");
            assert!(message.contains("tools/call"), "{message}");
            assert!(message.contains(named) || message.contains("invalid type"), "{message}");
        }
        let (code, ..) = refused(r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{}}"#);
        assert_eq!(code, -32602);
        let (code, ..) =
            refused(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":5}}"#);
        assert_eq!(code, -32602);
    }

    #[test]
    fn a_frame_that_is_none_is_refused_with_the_id_where_it_can_be_read() {
        let deep = format!(r#"{{"jsonrpc":"2.0","params":{}{},"id":7}}"#, "[".repeat(300), "]".repeat(300));
        for (text, code, id) in [
            ("{", -32700, None),
            ("\u{feff}{}", -32700, None),
            (r#"{"jsonrpc":"2.0","id":4,"method":"ping""#, -32700, Some(json!(4))),
            (deep.as_str(), -32700, Some(json!(7))),
            ("[]", -32600, None),
            ("5", -32600, None),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600, None),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600, None),
            (r#"{"jsonrpc":"2.0","id":9223372036854775808,"method":"ping"}"#, -32600, None),
            (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600, Some(json!(1))),
            (r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":[]}"#, -32600, Some(json!("a"))),
            (r#"{"jsonrpc":"2.0","id":2}"#, -32600, Some(json!(2))),
            (r#"{"jsonrpc":"2.0","id":3,"method":"resources/list"}"#, -32601, Some(json!(3))),
        ] {
            let (found, found_id, message) = refused(text);
            assert_eq!((found, found_id), (code, id), "{text}: {message}");
            assert!(message.len() > 20, "{message}");
        }
    }

    #[test]
    fn what_clients_send_is_read() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"recall"}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/somebody/elses","params":{"a":1}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}"#,
        ] {
            assert!(read(text.as_bytes()).is_ok(), "{text}");
        }
    }
}
