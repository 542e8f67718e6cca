//! The texts generated from the table of options: help, manual page, shell completions,
//! example configuration file, and a Markdown table.

mod completions;
mod help;
mod man;
mod reference;

/// The texts generated from the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeneratedText {
    /// The short help, one line per option.
    ShortHelp,
    /// The long help.
    LongHelp,
    /// The manual page, for man(7).
    Man,
    /// Completion of the command line in bash.
    Bash,
    /// Completion of the command line in zsh.
    Zsh,
    /// Completion of the command line in fish.
    Fish,
    /// The example of a configuration file.
    ConfigExample,
    /// A table of the options in Markdown.
    Markdown,
}

impl GeneratedText {
    /// The texts that `--generate` prints.
    pub const ALL: [GeneratedText; 6] = [
        GeneratedText::Man,
        GeneratedText::Bash,
        GeneratedText::Zsh,
        GeneratedText::Fish,
        GeneratedText::ConfigExample,
        GeneratedText::Markdown,
    ];

    /// Its name for `--generate`.
    pub fn name(self) -> &'static str {
        match self {
            GeneratedText::ShortHelp => "help",
            GeneratedText::LongHelp => "long-help",
            GeneratedText::Man => "man",
            GeneratedText::Bash => "complete-bash",
            GeneratedText::Zsh => "complete-zsh",
            GeneratedText::Fish => "complete-fish",
            GeneratedText::ConfigExample => "config-example",
            GeneratedText::Markdown => "options-markdown",
        }
    }

    /// The text itself, ending with a newline.
    pub fn generate(self) -> String {
        match self {
            GeneratedText::ShortHelp => help::short(),
            GeneratedText::LongHelp => help::long(),
            GeneratedText::Man => man::page(),
            GeneratedText::Bash => completions::bash(),
            GeneratedText::Zsh => completions::zsh(),
            GeneratedText::Fish => completions::fish(),
            GeneratedText::ConfigExample => reference::config_example(),
            GeneratedText::Markdown => reference::markdown(),
        }
    }
}

/// Breaks a text into lines of at most `width` characters, between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("it starts with one line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrap("aa bb  cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("aaaaaaa b", 3), ["aaaaaaa", "b"]);
        assert_eq!(wrap("", 3), [""]);
    }
}
