//! The offline model (placeholder while compiling).
use super::{ChatModel, ChatRequest, ModelEvent, ModelStream};
/// Offline.
#[derive(Debug, Default, Clone)]
pub struct Offline;
impl Offline {
    /// New.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}
impl ChatModel for Offline {
    fn name(&self) -> &str {
        "offline"
    }
    fn chat(&self, _request: ChatRequest) -> ModelStream {
        Box::pin(futures_util::stream::iter([Ok(ModelEvent::Text("x".into())), Ok(ModelEvent::End)]))
    }
}
