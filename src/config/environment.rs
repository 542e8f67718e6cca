//! Values from environment variables.

use std::ffi::OsString;

use super::{Origin, UsageError, nearest};
use crate::config::options::{Assignment, OPTIONS, Opt, PREFIXES, RawValue};

/// The values in an environment, in the order of the table, and warnings about
/// variables that look like ours and mean nothing.
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
    // The original's prefix comes first inside an option, so that ours wins.
    found.sort_by_key(|(position, rank, ..)| (*position, std::cmp::Reverse(*rank)));
    for pair in found.windows(2) {
        let [(first, _, old, old_value), (second, _, new, new_value)] = pair else {
            continue;
        };
        if first == second && old_value != new_value {
            warnings.push(format!("the environment variable {new} overrides {old}"));
        }
    }
    let assign = |(position, _, name, value): (usize, usize, String, OsString)| {
        let place = Origin::Variable(name);
        match value.into_string() {
            Ok(text) => Ok(Assignment {
                option: &OPTIONS[position],
                given: RawValue::untyped(text),
                place,
            }),
            Err(_) => Err(UsageError::NotUnicode { place }),
        }
    };
    let assignments = found.into_iter().map(assign).collect::<Result<_, _>>()?;
    Ok((assignments, warnings))
}

/// The name without its prefix, with the position of that in [`PREFIXES`].
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
            "the environment variable {name} means nothing; did you mean {prefix}{}?",
            known.to_uppercase()
        ),
        None => format!("the environment variable {name} means nothing"),
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
            "the environment variable VAST_THREATBUS_HELP means nothing"
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
