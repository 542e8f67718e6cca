//! The example configuration file, and the table of `docs/configuration.md`.

use super::help::sentence;
use super::wrap;
use crate::config::options::{OPTIONS, Opt, OptionKind, PREFIXES, Section};

/// A file with every key: those with a default are set, the others are comments.
pub(super) fn config_example() -> String {
    let mut text = String::from(
        "# A configuration of vast-threatbus, with every key and its default.\n\
         # It is read from ./config.yaml, ./config.yml, /etc/vast-threatbus/config.yaml,\n\
         # or where --config says.\n",
    );
    let mut group = String::new();
    for section in Section::DOCUMENTED {
        let keyed: Vec<_> = section
            .options()
            .filter_map(|o| Some((o, o.key()?)))
            .collect();
        if !keyed.is_empty() {
            let bar = "-".repeat(72 - section.title().len());
            text += &format!("\n# --- {} {bar}\n", section.title());
        }
        for (option, key) in keyed {
            let (of, name) = key.split_once('.').unwrap_or(("", &key));
            if of != group && !of.is_empty() {
                text += &format!("\n{of}:\n");
            }
            group = of.to_owned();
            text += &config_entry(option, name, if of.is_empty() { "" } else { "  " });
        }
    }
    text
}

fn config_entry(option: &Opt, name: &str, indent: &str) -> String {
    let help = format!("{} {}", sentence(option.short_help), option.long_help);
    let mut text = String::from(if indent.is_empty() { "\n" } else { "" });
    for line in wrap(&help, 76 - indent.len()) {
        text += &format!("{indent}# {line}\n");
    }
    for (word, help) in option.words().iter().filter(|_| option.explains_words()) {
        text += &format!("{indent}#   {word}: {help}\n");
    }
    let value = match (&option.kind, option.sample_value()) {
        // A port looks like a mapping to people, though not to the parser.
        (OptionKind::Endpoint(_) | OptionKind::Engines(_), value) => format!("\"{value}\""),
        (_, value) => value.to_owned(),
    };
    let comment = if option.default.is_some() { "" } else { "# " };
    text + &format!("{indent}{comment}{name}: {value}\n")
}

/// One row per option.
pub(super) fn markdown() -> String {
    let mut text = String::from(
        "| Flag | Configuration key | Default | Meaning |\n| --- | --- | --- | --- |\n",
    );
    for option in OPTIONS
        .iter()
        .filter(|option| option.section != Section::Hidden)
    {
        let code = |text: &str| match text {
            "" => String::new(),
            text => format!("`{}`", text.replace('|', "\\|")),
        };
        let short = option.short.map(|letter| format!("-{letter}"));
        let long = option.long().map(|name| {
            if option.is_switch() {
                format!("--[no-]{name}")
            } else {
                format!("--{name} {}", option.value_name)
                    .trim_end()
                    .to_owned()
            }
        });
        let flags: Vec<_> = [short, long]
            .into_iter()
            .flatten()
            .map(|flag| code(&flag))
            .collect();
        text += &format!(
            "| {} | {} | {} | {} |\n",
            flags.join(", "),
            code(&option.key().unwrap_or_default()),
            code(option.default.unwrap_or_default()),
            format!("{} {}", sentence(option.short_help), option.long_help).trim_end(),
        );
    }
    let [ours, original] = PREFIXES;
    text + &format!(
        "\nThe environment variable of an option is `{ours}` and its key in capitals \
         (`{ours}RETRO_MATCH`), with `__` between a group and a key \
         (`{ours}LOGGING__FILENAME`); the prefix `{original}` of the original works too.\n"
    )
}
