//! The help texts.

use super::wrap;
use crate::config::DEFAULT_FILES;
use crate::config::options::{Opt, OptionKind, Section};

const HELP_WIDTH: usize = 80;

const INTRODUCTION: &str = "Connects Threat Bus and VAST: indicators come from the bus, are \
    searched in VAST, and every match is reported as a sighting.";

pub(super) fn short() -> String {
    let mut text = head();
    for section in Section::DOCUMENTED {
        text += &format!("\n{}:\n", section.title());
        for option in section.options().filter(|option| option.long().is_some()) {
            let flags = flags(option);
            let help = format!("{}{}", option.short_help, default(option));
            let indent = 34;
            let lines = wrap(&help, HELP_WIDTH - indent);
            let first = if flags.len() < indent {
                format!("{flags:<indent$}")
            } else {
                format!("{flags}\n{:indent$}", "")
            };
            text += &format!("{first}{}\n", lines.join(&format!("\n{:indent$}", "")));
        }
    }
    text + "\n--help says more.\n"
}

pub(super) fn long() -> String {
    let mut text = head();
    for section in Section::DOCUMENTED {
        text += &format!("\n{}:\n", section.title());
        for option in section.options().filter(|option| option.long().is_some()) {
            text += &entry(option);
        }
    }
    text + &tail()
}

fn head() -> String {
    let introduction = wrap(INTRODUCTION, HELP_WIDTH).join("\n");
    format!("{introduction}\n\nUsage: vast-threatbus [OPTIONS]\n")
}

fn entry(option: &Opt) -> String {
    let mut text = format!("{}\n", flags(option));
    let paragraphs = [
        format!("{}{}", sentence(option.short_help), default(option)),
        option.long_help.to_owned(),
    ];
    let mut lines: Vec<String> = Vec::new();
    for paragraph in paragraphs.iter().filter(|text| !text.is_empty()) {
        lines.extend(wrap(paragraph, HELP_WIDTH - 10));
    }
    if option.explains_words() {
        for (word, meaning) in option.words() {
            let words = format!("- {word}: {meaning}");
            for (number, line) in wrap(&words, HELP_WIDTH - 12).into_iter().enumerate() {
                let indent = if number == 0 { "" } else { "  " };
                lines.push(format!("{indent}{line}"));
            }
        }
    } else if matches!(option.kind, OptionKind::LogLevel(_)) {
        let words: Vec<_> = option.words().iter().map(|word| word.0).collect();
        lines.push(format!("One of {}.", words.join(", ")));
    }
    for line in lines {
        text += &format!("          {line}\n");
    }
    text + "\n"
}

fn tail() -> String {
    let paragraphs = [
        "Every option but the general ones can be set in the configuration file, with `_` for \
         `-`, and every option in an environment variable: VAST_THREATBUS_ and its key in \
         capitals, with `__` between a group and a key. The command line overrides the \
         environment, the environment the file, and the file the defaults."
            .to_owned(),
        format!(
            "The file is the first of {} that exists, or that of --config. The keys that only it \
             has are in config.yaml.example and in vast-threatbus(1).",
            DEFAULT_FILES.join(", ")
        ),
    ];
    let wrapped = paragraphs.map(|text| wrap(&text, HELP_WIDTH).join("\n"));
    format!("{}\n", wrapped.join("\n\n"))
}

/// The flags of an option, indented so that the long flags line up.
fn flags(option: &Opt) -> String {
    let short = option
        .short
        .map_or("    ".to_owned(), |letter| format!("-{letter}, "));
    let long = option.long().unwrap_or_default();
    let switch = if option.is_switch() { "[no-]" } else { "" };
    let value = match option.value_name {
        "" => String::new(),
        name => format!(" {name}"),
    };
    format!("  {short}--{switch}{long}{value}")
}

/// The default in brackets; empty for a switch or without a default.
fn default(option: &Opt) -> String {
    match option.default {
        Some(default) if !option.is_switch() => format!(" [default: {default}]"),
        _ => String::new(),
    }
}

/// Turns a short meaning into a sentence.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}
