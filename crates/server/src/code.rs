//! Every error code a user of the product can see, one variant each. A code is the number, the HTTP status, a
//! short title and a page in `docs/errors/`, compiled in, so that a code without a page does not build. The
//! HTTP boundary, the command line and `haversack explain` read it; a number is never reused for another
//! meaning.

use std::fmt;

use http::StatusCode;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $status:ident, $title:literal;)*) => {
        /// An error code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code, in numerical order.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The number, as in `HV0001`.
            pub const fn id(self) -> &'static str {
                match self { $(Code::$name => $id,)* }
            }

            /// The status of the HTTP answer.
            pub const fn status(self) -> StatusCode {
                match self { $(Code::$name => StatusCode::$status,)* }
            }

            /// What the kind of error is called; the same for each occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)* }
            }

            /// The help page, Markdown.
            pub const fn page(self) -> &'static str {
                match self {
                    $(Code::$name => include_str!(concat!("../../../docs/errors/", $id, ".md")),)*
                }
            }
        }
    };
}

codes! {
    /// A context variable was read where nothing bound it.
    MissingContext = "HV0001", INTERNAL_SERVER_ERROR, "Missing context";
    /// A handle was used under another entry than it was made under.
    ForeignContext = "HV0002", INTERNAL_SERVER_ERROR, "Foreign context";
    /// A door refused to open a context.
    BoundaryRefused = "HV0003", INTERNAL_SERVER_ERROR, "Boundary refused";
    /// The configuration does not parse or contradicts itself.
    ConfigInvalid = "HV0101", INTERNAL_SERVER_ERROR, "Configuration invalid";
    /// The data folder cannot be written.
    DataNotWritable = "HV0102", SERVICE_UNAVAILABLE, "Data folder not writable";
    /// Another process holds the data folder.
    DataInUse = "HV0103", SERVICE_UNAVAILABLE, "Data folder in use";
    /// A file was written by a newer version.
    NewerSchema = "HV0104", SERVICE_UNAVAILABLE, "Newer schema";
    /// A tenant file carries another tenant's stamp.
    StampMismatch = "HV0105", SERVICE_UNAVAILABLE, "Tenant stamp mismatch";
    /// The store is damaged or its disk fails.
    StoreFailed = "HV0106", INTERNAL_SERVER_ERROR, "Store failed";
    /// No space is left.
    DiskFull = "HV0107", INSUFFICIENT_STORAGE, "Disk full";
    /// A backup or restore was refused.
    BackupRefused = "HV0108", INTERNAL_SERVER_ERROR, "Backup or restore refused";
    /// Another program listens on the address.
    AddressInUse = "HV0110", INTERNAL_SERVER_ERROR, "Address in use";
    /// Demo keys must not be reachable from other machines.
    DemoKeysExposed = "HV0111", INTERNAL_SERVER_ERROR, "Demo keys on a public address";
    /// A child process cannot be confined as the configuration says.
    SandboxRefused = "HV0112", INTERNAL_SERVER_ERROR, "Sandbox refused";
    /// The key ring cannot be read or written.
    KeyFileUnusable = "HV0120", SERVICE_UNAVAILABLE, "Key file unusable";
    /// Sealed data cannot be opened.
    SealRefused = "HV0121", INTERNAL_SERVER_ERROR, "Sealed data refused";
    /// A context could not be captured or restored.
    ContextNotCarried = "HV0122", INTERNAL_SERVER_ERROR, "Context cannot be carried";
    /// No key, or not the shape of one.
    KeyMissing = "HV0201", UNAUTHORIZED, "API key missing or malformed";
    /// Unknown id or wrong secret, on purpose alike.
    KeyUnknown = "HV0202", UNAUTHORIZED, "API key unknown";
    /// The key was revoked or has expired.
    KeyRevoked = "HV0203", UNAUTHORIZED, "API key revoked or expired";
    /// The session name belongs to another principal.
    SessionTaken = "HV0204", CONFLICT, "Session name taken";
    /// No such session for this caller.
    SessionNotFound = "HV0205", NOT_FOUND, "Session not found";
    /// No such turn for this caller.
    TurnNotFound = "HV0206", NOT_FOUND, "Turn not found";
    /// The session name breaks the rules for names.
    SessionName = "HV0207", BAD_REQUEST, "Invalid session name";
    /// A tenant or principal name breaks the rules for names.
    TenantName = "HV0208", BAD_REQUEST, "Invalid tenant or principal name";
    /// The idempotency key breaks its rules.
    IdempotencyKey = "HV0209", BAD_REQUEST, "Invalid idempotency key";
    /// The body is larger than the limit.
    BodyTooLarge = "HV0210", PAYLOAD_TOO_LARGE, "Body too large";
    /// The body is not JSON.
    JsonInvalid = "HV0211", BAD_REQUEST, "Invalid JSON";
    /// A field or a parameter has a value outside its rules.
    FieldInvalid = "HV0212", UNPROCESSABLE_ENTITY, "Invalid field";
    /// The idempotency key belongs to another request.
    IdempotencyConflict = "HV0213", UNPROCESSABLE_ENTITY, "Idempotency key reused";
    /// The body is not declared as JSON.
    MediaType = "HV0214", UNSUPPORTED_MEDIA_TYPE, "Unsupported media type";
    /// Nothing lives at this path.
    NoRoute = "HV0215", NOT_FOUND, "No such route";
    /// The path exists, the method does not.
    MethodNotAllowed = "HV0216", METHOD_NOT_ALLOWED, "Method not allowed";
    /// The body did not arrive in time.
    BodyTimeout = "HV0217", REQUEST_TIMEOUT, "Request body too slow";
    /// Nothing that was done has this id for this caller.
    TraceNotFound = "HV0218", NOT_FOUND, "Trace not found";
    /// The request breaks the rules of HTTP or of its path.
    RequestInvalid = "HV0219", BAD_REQUEST, "Invalid request";
    /// Too many turns wait for this session.
    QueueFull = "HV0220", TOO_MANY_REQUESTS, "Session queue full";
    /// The tenant's limit is reached.
    TenantLimit = "HV0221", TOO_MANY_REQUESTS, "Tenant limit reached";
    /// The server drains.
    ShuttingDown = "HV0222", SERVICE_UNAVAILABLE, "Shutting down";
    /// Too many bytes are under way.
    ServerBusy = "HV0223", SERVICE_UNAVAILABLE, "Server busy";
    /// The key's role does not open this route.
    RoleRequired = "HV0224", FORBIDDEN, "Role required";
    /// No tenant of this name has data.
    TenantNotFound = "HV0225", NOT_FOUND, "Tenant not found";
    /// The turn took longer than allowed.
    TurnTimedOut = "HV0230", GATEWAY_TIMEOUT, "Turn timed out";
    /// The turn was cancelled.
    TurnCancelled = "HV0231", CONFLICT, "Turn cancelled";
    /// The process ended while the turn ran.
    TurnInterrupted = "HV0232", CONFLICT, "Turn interrupted";
    /// The model answered with an error.
    ModelFailed = "HV0301", BAD_GATEWAY, "Model failed";
    /// The model did not answer in time.
    ModelTimedOut = "HV0302", GATEWAY_TIMEOUT, "Model timed out";
    /// The model cannot be reached as configured.
    ModelMisconfigured = "HV0303", INTERNAL_SERVER_ERROR, "Model misconfigured";
    /// The turn used up its steps or tokens.
    BudgetExhausted = "HV0304", UNPROCESSABLE_ENTITY, "Budget exhausted";
    /// A crew's task failed.
    CrewFailed = "HV0310", INTERNAL_SERVER_ERROR, "Crew failed";
    /// A replay met less than all expectations.
    ExpectationsNotMet = "HV0401", INTERNAL_SERVER_ERROR, "Expectations not met";
    /// A replay file cannot be used.
    ReplayInvalid = "HV0402", INTERNAL_SERVER_ERROR, "Replay file invalid";
    /// No server answers at the address.
    ServerUnreachable = "HV0403", INTERNAL_SERVER_ERROR, "Server unreachable";
    /// The leak check found something.
    LeakFound = "HV0404", INTERNAL_SERVER_ERROR, "Leak check failed";
    /// The output could not be written.
    OutputFailed = "HV0405", INTERNAL_SERVER_ERROR, "Output failed";
    /// A defect of the product.
    Internal = "HV0500", INTERNAL_SERVER_ERROR, "Internal error";
    /// No such job for this caller.
    JobNotFound = "HV0601", NOT_FOUND, "Job not found";
    /// A job cannot be submitted like this.
    JobRefused = "HV0602", UNPROCESSABLE_ENTITY, "Job refused";
    /// The arguments of a job are over the limit.
    ArgumentsTooLarge = "HV0603", PAYLOAD_TOO_LARGE, "Job arguments too large";
    /// The job's state does not allow it.
    JobConflict = "HV0604", CONFLICT, "Job in another state";
    /// A job ended without a result.
    JobFailed = "HV0605", INTERNAL_SERVER_ERROR, "Job failed";
    /// The carried access token had expired.
    AccessTokenExpired = "HV0606", UNAUTHORIZED, "Access token expired";
    /// A pipeline's definition has mistakes.
    PipelineInvalid = "HV0701", UNPROCESSABLE_ENTITY, "Pipeline invalid";
    /// No such pipeline.
    PipelineNotFound = "HV0702", NOT_FOUND, "Pipeline not found";
    /// No such run for this tenant.
    RunNotFound = "HV0703", NOT_FOUND, "Run not found";
    /// A run ended in failure.
    RunFailed = "HV0704", INTERNAL_SERVER_ERROR, "Run failed";
    /// The run's state or a parameter does not allow it.
    RunRefused = "HV0705", CONFLICT, "Run refused";
    /// No such account of the gateway.
    AccountNotFound = "HV0801", NOT_FOUND, "Gateway account not found";
    /// A webhook's signature is missing, wrong or old.
    SignatureRefused = "HV0802", UNAUTHORIZED, "Message signature refused";
    /// The sender is not known to the account.
    SenderUnknown = "HV0803", FORBIDDEN, "Sender unknown";
    /// A message breaks the rules.
    MessageRefused = "HV0804", UNPROCESSABLE_ENTITY, "Message refused";
    /// A delivery was abandoned.
    DeliveryFailed = "HV0805", BAD_GATEWAY, "Delivery failed";
    /// Host or Origin is not allowed.
    OriginRefused = "HV0901", FORBIDDEN, "Host or origin refused";
    /// There is no such session of the MCP transport.
    McpSession = "HV0902", NOT_FOUND, "MCP session not found";
    /// The client accepts no form that the MCP endpoint answers in.
    McpAccept = "HV0903", NOT_ACCEPTABLE, "Answer not acceptable";
    /// The headers of an MCP request are not those of the protocol.
    McpRequest = "HV0904", BAD_REQUEST, "MCP request invalid";
}

impl Code {
    /// Finds a code by its number; letters of either case, with or without `HV`.
    pub fn find(text: &str) -> Option<Code> {
        let text = text.trim().to_ascii_uppercase();
        let number = text.strip_prefix("HV").unwrap_or(&text);
        Code::ALL.iter().copied().find(|code| code.id().strip_prefix("HV") == Some(number))
    }

    /// The exit code of a command that ends with this error: 2 wrong usage or configuration, 3 could not
    /// start or connect, 1 everything else.
    pub const fn exit(self) -> u8 {
        use crate::cli::{EXIT_FAILED, EXIT_START, EXIT_USAGE};
        match self {
            Code::ConfigInvalid
            | Code::DemoKeysExposed
            | Code::SandboxRefused
            | Code::SessionName
            | Code::TenantName
            | Code::ReplayInvalid
            | Code::ModelMisconfigured
            | Code::PipelineInvalid
            | Code::PipelineNotFound => EXIT_USAGE,
            Code::DataNotWritable
            | Code::DataInUse
            | Code::NewerSchema
            | Code::StampMismatch
            | Code::StoreFailed
            | Code::DiskFull
            | Code::AddressInUse
            | Code::KeyFileUnusable
            | Code::ServerUnreachable => EXIT_START,
            _ => EXIT_FAILED,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn codes_are_in_order_and_never_twice() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].id() < pair[1].id()));
    }

    #[test]
    fn every_page_says_what_why_and_what_to_do() {
        for code in Code::ALL {
            let page = code.page();
            assert!(page.starts_with(&format!("# {}: {}\n", code.id(), code.title())), "{code}: title");
            for part in ["**What happened.**", "**Why.**", "**What to do.**"] {
                assert!(page.contains(part), "{code}: {part}");
            }
        }
    }

    #[test]
    fn a_code_is_found_however_it_is_written() {
        assert_eq!(Code::find("HV0103"), Some(Code::DataInUse));
        assert_eq!(Code::find(" hv0103 "), Some(Code::DataInUse));
        assert_eq!(Code::find("0103"), Some(Code::DataInUse));
        assert_eq!(Code::find("HV9999"), None);
        assert_eq!(Code::find("HVHV0103"), None);
    }
}
