//! Completion of the command line in bash, zsh and fish.

use crate::config::options::{OPTIONS, Opt, OptionKind, Section};

/// How the value of an option is completed.
enum Values {
    Words(Vec<(&'static str, &'static str)>),
    Files,
    Commands,
    Nothing,
}

fn values(option: &Opt) -> Values {
    match option.kind {
        OptionKind::File(_) | OptionKind::Files(_) => Values::Files,
        OptionKind::Program(_) | OptionKind::Command(_) => Values::Commands,
        OptionKind::Engine(_)
        | OptionKind::Choice(_)
        | OptionKind::LogLevel(_)
        | OptionKind::Sink(_) => Values::Words(option.words()),
        _ => Values::Nothing,
    }
}

/// The visible options with a flag.
fn shown() -> impl Iterator<Item = (&'static Opt, &'static str)> {
    let shown = OPTIONS
        .iter()
        .filter(|option| option.section != Section::Hidden);
    shown.filter_map(|option| Some((option, option.long()?)))
}

/// All spellings of an option's flag, including the one that negates a switch.
fn flags(option: &Opt, long: &str) -> Vec<String> {
    let mut flags: Vec<_> = option
        .short
        .map(|letter| format!("-{letter}"))
        .into_iter()
        .collect();
    flags.push(format!("--{long}"));
    if option.is_switch() {
        flags.push(format!("--no-{long}"));
    }
    flags
}

const NOTE: &str = "# Made from the table of options by `vast-threatbus --generate";

pub(super) fn bash() -> String {
    let all: Vec<_> = shown()
        .flat_map(|(option, long)| flags(option, long))
        .collect();
    let mut cases = String::new();
    for (option, long) in shown().filter(|(option, _)| option.takes_value()) {
        let reply = match values(option) {
            Values::Words(words) => {
                let words: Vec<_> = words.iter().map(|word| word.0).collect();
                format!("compgen -W '{}' -- \"$current\"", words.join(" "))
            }
            Values::Files => "compgen -f -- \"$current\"".to_owned(),
            Values::Commands => "compgen -c -- \"$current\"".to_owned(),
            Values::Nothing => String::new(),
        };
        let pattern = flags(option, long).join(" | ");
        let action = match reply.as_str() {
            "" => String::new(),
            reply => format!(" words=$({reply})"),
        };
        cases += &format!("        {pattern}){action} ;;\n");
    }
    format!(
        r#"{NOTE} complete-bash`.
_vast_threatbus() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} words=
    # For bash the `=` of `--flag=value` is a separate word.
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]]; then
        previous=${{COMP_WORDS[COMP_CWORD - 2]}}
    fi
    case $previous in
{cases}        *) words=$(compgen -W '{}' -- "$current") ;;
    esac
    COMPREPLY=()
    [[ -z $words ]] || mapfile -t COMPREPLY <<< "$words"
}}
complete -o filenames -F _vast_threatbus vast-threatbus
"#,
        all.join(" ")
    )
}

pub(super) fn zsh() -> String {
    let mut specs = String::new();
    for (option, long) in shown() {
        let forms = flags(option, long);
        let excluded = forms.join(" ");
        for flag in &forms {
            let negated = flag.starts_with("--no-");
            let undo = if negated { "do not " } else { "" };
            let help = format!("{undo}{}", option.short_help).replace(['[', ']'], "");
            let help = help.replace(':', "\\:");
            let form = if !option.takes_value() {
                flag.clone()
            } else if flag.starts_with("--") {
                format!("{flag}=")
            } else {
                format!("{flag}+")
            };
            let spec = format!("({excluded}){form}[{help}]{}", zsh_value(option));
            specs += &format!("    '{}' \\\n", spec.replace('\'', "'\\''"));
        }
    }
    let specs = specs.trim_end_matches(" \\\n");
    format!("#compdef vast-threatbus\n{NOTE} complete-zsh`.\n_arguments -s -S \\\n{specs}\n")
}

fn zsh_value(option: &Opt) -> String {
    if !option.takes_value() {
        return String::new();
    }
    let action = match values(option) {
        Values::Words(words) => {
            let words: Vec<_> = words.iter().map(|word| word.0).collect();
            format!("({})", words.join(" "))
        }
        Values::Files => "_files".to_owned(),
        Values::Commands => "_command_names -e".to_owned(),
        Values::Nothing => " ".to_owned(),
    };
    format!(":{}:{action}", option.value_name)
}

pub(super) fn fish() -> String {
    let mut text = format!("{NOTE} complete-fish`.\n");
    for (option, long) in shown() {
        let short = option
            .short
            .map_or(String::new(), |letter| format!(" -s {letter}"));
        let value = match values(option) {
            Values::Words(words) => {
                // fish parses them again, as words of a command line.
                let words = words.iter().map(|(word, help)| match *help {
                    "" => (*word).to_owned(),
                    help => format!("{word}\\t{}", fish_quote(help)),
                });
                let words: Vec<_> = words.collect();
                format!(" -xa {}", fish_quote(&words.join(" ")))
            }
            Values::Files => " -rF".to_owned(),
            Values::Commands => " -xa '(__fish_complete_command)'".to_owned(),
            Values::Nothing if option.takes_value() => " -x".to_owned(),
            Values::Nothing => " -f".to_owned(),
        };
        let help = fish_quote(option.short_help);
        text += &format!("complete -c vast-threatbus{short} -l {long}{value} -d {help}\n");
        if option.is_switch() {
            let help = fish_quote(&format!("do not {}", option.short_help));
            text += &format!("complete -c vast-threatbus -l no-{long} -f -d {help}\n");
        }
    }
    text + "complete -c vast-threatbus -f\n"
}

fn fish_quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
