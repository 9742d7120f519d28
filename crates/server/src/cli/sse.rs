//! Server-sent events as they arrive: bytes in, whole events out, wherever the network cut them. The HTTP client of the
//! command line feeds it.

/// Longest event that is taken, in bytes; a server that sends more is not one of ours.
const MAX_EVENT: usize = 4 * 1024 * 1024;

/// One event of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// The `id` that a client sends back as `Last-Event-ID`.
    pub(super) id: Option<String>,
    /// The `data` lines, joined.
    pub(super) data: String,
}

/// More bytes without an end of event than are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {MAX_EVENT} bytes")]
pub(super) struct TooLong;

/// Cuts a stream of bytes into events.
#[derive(Debug, Default)]
pub(super) struct Parser {
    buffer: Vec<u8>,
}

impl Parser {
    /// Takes bytes and gives the events that are now complete. Comments and events without data give nothing.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        self.buffer.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some((end, next)) = self.end_of_event() {
            let block: Vec<u8> = self.buffer.drain(..next).take(end).collect();
            events.extend(parse(&String::from_utf8_lossy(&block)));
        }
        if self.buffer.len() > MAX_EVENT {
            return Err(TooLong);
        }
        Ok(events)
    }

    /// Where the first event ends, and where the one after it begins.
    fn end_of_event(&self) -> Option<(usize, usize)> {
        let mut at = 0;
        while let Some(line_end) =
            self.buffer[at..].iter().position(|byte| *byte == b'\n').map(|found| found + at)
        {
            let line = &self.buffer[at..line_end];
            if line.is_empty() || line == b"\r" {
                return Some((at, line_end + 1));
            }
            at = line_end + 1;
        }
        None
    }
}

fn parse(block: &str) -> Option<Event> {
    let mut event = Event::default();
    let mut data: Vec<&str> = Vec::new();
    for line in block.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data.push(value),
            "id" => event.id = Some(value.to_owned()),
            _ => {}
        }
    }
    if data.is_empty() {
        return None;
    }
    event.data = data.join("\n");
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_any_cut() {
        let text = ": hello\n\nid: 1\nevent: text_delta\ndata: {\"text\":\"grüße\"}\n\nid: 2\r\ndata: a\r\ndata: b\r\n\r\ndata: never";
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                events.extend(parser.push(chunk).unwrap());
            }
            let data: Vec<&str> = events.iter().map(|event| event.data.as_str()).collect();
            assert_eq!(data, ["{\"text\":\"grüße\"}", "a\nb"], "cut every {size} bytes");
            assert_eq!(events[1].id.as_deref(), Some("2"));
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = Parser::default();
        let chunk = vec![b'x'; MAX_EVENT];
        assert!(parser.push(&chunk).is_ok());
        assert_eq!(parser.push(b"yy"), Err(TooLong));
    }
}
