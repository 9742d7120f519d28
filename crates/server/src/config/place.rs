//! Where in a file a mistake is. TOML errors carry byte offsets; people need line and column. Only `config`
//! calls it.

use std::path::Path;

use super::ConfigError;

/// Turns a TOML error into one with line and column.
pub(super) fn locate(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let offset = error.span().map_or(0, |span| span.start);
    let (line, column) = line_column(text, offset);
    // The message alone: the error's own display quotes the line, and the line may hold what somebody meant
    // to keep secret.
    ConfigError::At { path: path.to_owned(), line, column, message: error.message().replace('\n', "; ") }
}

fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::line_column;

    #[test]
    fn columns_count_characters_not_bytes() {
        assert_eq!(line_column("a\nöö = x", "a\nöö = ".len()), (2, 6));
        assert_eq!(line_column("", 0), (1, 1));
        assert_eq!(line_column("a", 99), (1, 2));
    }
}
