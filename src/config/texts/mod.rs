//! The texts generated from the table of options: help, manual page, shell completions,
//! example configuration file, and a Markdown table.

mod completions;
mod help;
mod man;
mod reference;

/// The texts generated from the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
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

impl Text {
    /// The texts that `--generate` prints.
    pub const ALL: [Text; 6] = [
        Text::Man,
        Text::Bash,
        Text::Zsh,
        Text::Fish,
        Text::ConfigExample,
        Text::Markdown,
    ];

    /// Its name for `--generate`.
    pub fn name(self) -> &'static str {
        match self {
            Text::ShortHelp => "help",
            Text::LongHelp => "long-help",
            Text::Man => "man",
            Text::Bash => "complete-bash",
            Text::Zsh => "complete-zsh",
            Text::Fish => "complete-fish",
            Text::ConfigExample => "config-example",
            Text::Markdown => "options-markdown",
        }
    }

    /// The text itself, ending with a newline.
    pub fn generate(self) -> String {
        match self {
            Text::ShortHelp => help::short(),
            Text::LongHelp => help::long(),
            Text::Man => man::page(),
            Text::Bash => completions::bash(),
            Text::Zsh => completions::zsh(),
            Text::Fish => completions::fish(),
            Text::ConfigExample => reference::config_example(),
            Text::Markdown => reference::markdown(),
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
