//! Values from environment variables.

use std::ffi::OsString;

use super::{Origin, UsageError, nearest};
use crate::config::options::{Assignment, OPTIONS, Opt, OptionKind, PREFIXES, RawValue};

/// The values in an environment, in the order of the table, and warnings about unknown
/// variables with our prefix.
pub(super) fn assignments(
    env: Vec<(OsString, OsString)>,
) -> Result<(Vec<Assignment>, Vec<String>), UsageError> {
    let mut warnings = Vec::new();
    let mut found = Vec::new();
    for (name, value) in env {
        let name = name.to_string_lossy().into_owned();
        let Some((rank, bare)) = bare_name(&name) else {
            continue;
        };
        match position(bare) {
            Some(position) => found.push((position, rank, name, value)),
            None => warnings.push(unknown(&name, bare, PREFIXES[rank])),
        }
    }
    // Sorted so that within an option our prefix overrides the original's.
    found.sort_by_key(|(position, rank, ..)| (*position, std::cmp::Reverse(*rank)));
    for pair in found.windows(2) {
        let [(first, _, old, old_value), (second, _, new, new_value)] = pair else {
            continue;
        };
        if first == second && old_value != new_value {
            warnings.push(format!("the environment variable {new} overrides {old}"));
        }
    }
    let mut assignments = Vec::new();
    for (position, _, name, value) in found {
        let (option, place) = (&OPTIONS[position], Origin::Variable(name));
        let Ok(text) = value.into_string() else {
            return Err(UsageError::NotUnicode { place });
        };
        if matches!(option.kind, OptionKind::Engines(_)) {
            // Two prefixes do not share a list: that of the one that wins counts.
            assignments.retain(|one: &Assignment| !std::ptr::eq(one.option, option));
        }
        assignments.extend(values(option, &text).map(|value| Assignment {
            option,
            given: RawValue::untyped(value),
            place: place.clone(),
        }));
    }
    Ok((assignments, warnings))
}

/// The values in one variable. Engines are separated by commas, which no endpoint has. A path can
/// have any character, so a variable has only one.
fn values<'a>(option: &Opt, text: &'a str) -> impl Iterator<Item = &'a str> {
    let is_list = matches!(option.kind, OptionKind::Engines(_));
    text.split(move |c| is_list && c == ',')
        .map(move |value| if is_list { value.trim() } else { value })
}

/// The name without its prefix, and the prefix's position in [`PREFIXES`].
fn bare_name(name: &str) -> Option<(usize, &str)> {
    let strip = |(rank, prefix): (usize, &&str)| Some((rank, name.strip_prefix(*prefix)?));
    PREFIXES.iter().enumerate().find_map(strip)
}

fn position(bare: &str) -> Option<usize> {
    let has_name = |option: &Opt| option.variable().as_deref() == Some(bare);
    OPTIONS.iter().position(has_name)
}

fn unknown(name: &str, bare: &str, prefix: &str) -> String {
    let name = crate::observe::logging::printable(name, 200);
    let known = OPTIONS
        .iter()
        .filter_map(Opt::variable)
        .map(|known| known.to_lowercase());
    match nearest(bare, known) {
        Some(known) => format!(
            "the environment variable {name} is unknown; did you mean {prefix}{}?",
            known.to_uppercase()
        ),
        None => format!("the environment variable {name} is unknown"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn read(env: &[(&str, &str)]) -> (Vec<(String, String)>, Vec<String>) {
        let env = env.iter().map(|(name, value)| (name.into(), value.into()));
        let (found, warnings) = assignments(env.collect()).expect("all UTF-8");
        let found = found.into_iter().map(|a| (a.option.title(), a.given.text));
        (found.collect(), warnings)
    }

    #[test]
    fn variables_are_found_with_either_prefix_and_in_groups() {
        let (found, warnings) = read(&[
            ("VAST_THREATBUS_LOGGING__CONSOLE_VERBOSITY", "debug"),
            ("PYVAST_THREATBUS_RETRO_MATCH", "true"),
            ("VAST_THREATBUS_VAST", "a:1"),
            ("PATH", "/bin"),
        ]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            found,
            [
                pair("--vast", "a:1"),
                pair("--retro-match", "true"),
                pair("logging.console_verbosity", "debug"),
            ]
        );
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn our_prefix_wins_and_the_other_is_mentioned() {
        let (found, warnings) = read(&[
            ("VAST_THREATBUS_SNAPSHOT", "2"),
            ("PYVAST_THREATBUS_SNAPSHOT", "1"),
        ]);
        assert_eq!(found.last().map(|(_, value)| value.as_str()), Some("2"));
        assert_eq!(
            warnings,
            [
                "the environment variable VAST_THREATBUS_SNAPSHOT overrides PYVAST_THREATBUS_SNAPSHOT"
            ]
        );
    }

    #[test]
    fn engines_are_separated_by_commas_and_paths_are_not() {
        let (found, _) = read(&[
            ("PYVAST_THREATBUS_VAST", "old:1,old:2"),
            ("VAST_THREATBUS_VAST", "a:1, dmz=tenzir://b:2"),
            ("VAST_THREATBUS_EVENTS", "eve, old.json"),
        ]);
        let values: Vec<&str> = found.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["a:1", "dmz=tenzir://b:2", "eve, old.json"]);
    }

    #[test]
    fn unknown_variables_are_warned_about() {
        let (found, warnings) = read(&[
            ("VAST_THREATBUS_SNAPSHOTS", "2"),
            ("VAST_THREATBUS_HELP", "1"),
            ("VAST_THREATBUS_\u{1b}[31m", "x"),
        ]);
        assert!(found.is_empty());
        assert!(
            warnings[0].ends_with("did you mean VAST_THREATBUS_SNAPSHOT?"),
            "{warnings:?}"
        );
        assert_eq!(
            warnings[1],
            "the environment variable VAST_THREATBUS_HELP is unknown"
        );
        assert!(!warnings[2].contains('\u{1b}'));
    }

    #[test]
    fn a_value_that_is_not_utf_8_is_an_error_only_in_our_variables() {
        let bad = || OsString::from_vec(vec![0xff]);
        assert!(assignments(vec![("OTHER".into(), bad())]).is_ok());
        let error = assignments(vec![("VAST_THREATBUS_SINK".into(), bad())]).err();
        let place = Origin::Variable("VAST_THREATBUS_SINK".into());
        assert_eq!(error, Some(UsageError::NotUnicode { place }));
    }
}
