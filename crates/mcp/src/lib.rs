//! Model Context Protocol endpoint on Haversack: the runtime's tools, each call in its own context

#![forbid(unsafe_code)]
