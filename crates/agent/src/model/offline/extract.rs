//! The pieces of a handbook section that can be quoted alone: list items, sentences, table rows.
//!
//! Markdown marks are taken off, a list item keeps its continuation lines, a table row is read with its
//! header. The ranking of answers quotes pieces, never whole files.

use super::sentence::sentences;

/// A piece of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) kind: PieceKind,
    pub(super) text: String,
    /// Pieces of one paragraph, list or table have the same number.
    pub(super) block: usize,
}

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PieceKind {
    Item,
    Sentence,
    Row,
}

/// The pieces of a section's text, in order.
pub(super) fn pieces(markdown: &str) -> Vec<Piece> {
    let mut reader = Reader::default();
    for line in markdown.lines() {
        reader.line(line);
    }
    reader.close();
    reader.pieces
}

#[derive(Default)]
struct Reader {
    pieces: Vec<Piece>,
    paragraph: String,
    item: Option<String>,
    header: Vec<String>,
    block: usize,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let bare = line.trim();
        if bare.is_empty() {
            self.close();
            self.header.clear();
        } else if bare.starts_with('|') {
            self.close();
            self.row(bare);
        } else if let Some(text) = item_text(bare) {
            self.close_paragraph();
            self.close_item();
            self.item = Some(text.to_owned());
        } else if !bare.starts_with("```") && !bare.starts_with("~~~") {
            let into = if line.starts_with([' ', '\t']) { self.item.as_mut() } else { None };
            match into {
                Some(item) => {
                    item.push(' ');
                    item.push_str(bare);
                }
                None => {
                    self.close_item();
                    self.paragraph.push_str(bare.trim_start_matches("> "));
                    self.paragraph.push(' ');
                }
            }
        }
    }

    fn row(&mut self, line: &str) {
        let cells: Vec<String> = line.trim_matches('|').split('|').map(|cell| plain(cell.trim())).collect();
        if cells.iter().all(|cell| !cell.is_empty() && cell.chars().all(|c| matches!(c, '-' | ':' | ' '))) {
            return;
        }
        if self.header.is_empty() {
            self.header = cells;
            return;
        }
        let named =
            cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty()).map(|(at, cell)| {
                match self.header.get(at) {
                    Some(name) if !name.is_empty() => format!("{name}: {cell}"),
                    _ => cell.clone(),
                }
            });
        let text = named.collect::<Vec<_>>().join("; ");
        self.pieces.push(Piece { kind: PieceKind::Row, text, block: self.block });
    }

    fn close(&mut self) {
        self.close_paragraph();
        let listing = self.item.is_some();
        self.close_item();
        // Blank lines inside a list do not end it; the next paragraph does.
        if !listing {
            self.block += 1;
        }
    }

    fn close_item(&mut self) {
        if let Some(text) = self.item.take() {
            self.pieces.push(Piece { kind: PieceKind::Item, text: plain(text.trim()), block: self.block });
        }
    }

    fn close_paragraph(&mut self) {
        let paragraph = std::mem::take(&mut self.paragraph);
        if paragraph.trim().is_empty() {
            return;
        }
        self.block += 1;
        let paragraph = plain(paragraph.trim());
        let mut start = 0;
        for sentence in sentences(&paragraph).into_iter().map(|sentence| sentence.text) {
            // The mark behind a sentence belongs to it when it is quoted.
            let begin = paragraph[start..].find(sentence).map_or(start, |at| start + at);
            let end = begin + sentence.len();
            let mark = paragraph[end..]
                .chars()
                .next()
                .filter(|c| matches!(c, '.' | '!' | '?' | ';'))
                .map_or(0, char::len_utf8);
            let text = paragraph[begin..end + mark].trim().to_owned();
            start = end + mark;
            self.pieces.push(Piece { kind: PieceKind::Sentence, text, block: self.block });
        }
        self.block += 1;
    }
}

fn item_text(line: &str) -> Option<&str> {
    if let Some(text) = ["- ", "* ", "+ "].iter().find_map(|mark| line.strip_prefix(mark)) {
        return Some(text.trim_start_matches("[ ] ").trim_start_matches("[x] "));
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let rest = line.get(digits..)?;
    let text = rest.strip_prefix(". ").or_else(|| rest.strip_prefix(") "))?;
    (1..=3).contains(&digits).then_some(text)
}

/// The words without Markdown's marks; of a link its text.
fn plain(markdown: &str) -> String {
    let mut text = markdown.replace("**", "").replace("__", "").replace('`', "");
    while let Some((open, middle, close)) = link(&text) {
        text = format!("{}{}{}", &text[..open], &text[open + 1..middle], &text[close + 1..]);
    }
    text
}

fn link(text: &str) -> Option<(usize, usize, usize)> {
    let middle = text.find("](")?;
    let open = text[..middle].rfind('[')?;
    let close = middle + text[middle..].find(')')?;
    Some((open, middle, close))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_sentences_and_rows_are_pieces() {
        let text = "If it jams. Do this:\n\n1. Open the **cover**.\n   Mind the blade.\n2. Clear the \
            [paper](x.md).\n\nCall us then.\n\n| Plan | Price |\n|---|---|\n| Basic | 5 EUR |\n";
        let seen: Vec<_> = pieces(text).into_iter().map(|p| (p.kind, p.text)).collect();
        let expected = [
            (PieceKind::Sentence, "If it jams."),
            (PieceKind::Sentence, "Do this:"),
            (PieceKind::Item, "Open the cover. Mind the blade."),
            (PieceKind::Item, "Clear the paper."),
            (PieceKind::Sentence, "Call us then."),
            (PieceKind::Row, "Plan: Basic; Price: 5 EUR"),
        ];
        assert_eq!(seen, expected.map(|(kind, text)| (kind, text.to_owned())));
    }
}
