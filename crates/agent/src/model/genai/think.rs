//! Removes a `<think>` block from the beginning of a streamed answer.
//!
//! Local servers pass the reasoning of their models on as text. The block may be cut anywhere between two pieces, so
//! text is held back as long as it can still be the beginning of the block. Only a call feeds it.

const OPEN: [&str; 2] = ["<think>", "<thinking>"];
const CLOSE: [&str; 2] = ["</think>", "</thinking>"];

/// Where in the answer the filter is.
#[derive(Debug, Default)]
pub(super) enum Think {
    /// Nothing but what may be the beginning of a block was read.
    #[default]
    Start,
    /// Inside the block of this kind.
    Inside(usize),
    /// Behind the block and the white space after it.
    Behind,
    /// In the answer itself.
    Answer,
}

/// The filter of one answer.
#[derive(Debug, Default)]
pub(super) struct Filter {
    at: Think,
    held: String,
}

impl Filter {
    /// Takes a piece, and returns what of the answer is known to be text.
    pub(super) fn push(&mut self, piece: &str) -> String {
        if matches!(self.at, Think::Answer) {
            return piece.to_owned();
        }
        self.held.push_str(piece);
        loop {
            match self.at {
                Think::Start => {
                    let text = self.held.trim_start();
                    if let Some(kind) = OPEN.iter().position(|open| text.starts_with(open)) {
                        self.held = text[OPEN[kind].len()..].to_owned();
                        self.at = Think::Inside(kind);
                    } else if OPEN.iter().any(|open| open.starts_with(text)) {
                        return String::new();
                    } else {
                        return self.answer();
                    }
                }
                Think::Inside(kind) => {
                    let close = CLOSE[kind];
                    let Some(end) = self.held.find(close) else {
                        // The end of what was read may be the beginning of the mark.
                        let mut keep = self.held.len().saturating_sub(close.len());
                        while !self.held.is_char_boundary(keep) {
                            keep += 1;
                        }
                        self.held.drain(..keep);
                        return String::new();
                    };
                    self.held.drain(..end + close.len());
                    self.at = Think::Behind;
                }
                Think::Behind => {
                    let text = self.held.trim_start();
                    if text.is_empty() {
                        self.held.clear();
                        return String::new();
                    }
                    self.held = text.to_owned();
                    return self.answer();
                }
                Think::Answer => return std::mem::take(&mut self.held),
            }
        }
    }

    /// Returns the text that was held back because it looked like a block, once the answer ends.
    pub(super) fn finish(&mut self) -> String {
        match self.at {
            Think::Start => self.answer(),
            _ => String::new(),
        }
    }

    fn answer(&mut self) -> String {
        self.at = Think::Answer;
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;

    /// The answer, when the text comes in pieces of `size` bytes.
    fn filtered(text: &str, size: usize) -> String {
        let mut filter = Filter::default();
        let mut answer = String::new();
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(size) {
            answer.push_str(&filter.push(&piece.iter().collect::<String>()));
        }
        answer.push_str(&filter.finish());
        answer
    }

    #[test]
    fn blocks_are_removed_however_they_are_cut() {
        for size in 1..20 {
            assert_eq!(filtered("<think>Größe: 1 < 2</think>\n\nTwo.", size), "Two.");
            assert_eq!(filtered("\n<thinking>so</thinking>Two.", size), "Two.");
            assert_eq!(filtered("A <think> tag.", size), "A <think> tag.");
            assert_eq!(filtered("<thin", size), "<thin");
            assert_eq!(filtered("<think>never closed", size), "");
        }
    }
}
