//! Reads the allowed values, at the start and when files are reloaded.

use std::path::Path;

use log::{error, info, warn};

use crate::config::NoiseOptions;
use crate::indicator::Allow;
use crate::observe::logging::printable;
use crate::process::exit_code::ExitCode;
use crate::process::input;
use crate::protocol::allow::{Allowed, parse};

/// The most bytes of a file of `--allow`.
const MOST_BYTES: u64 = 256 << 20;

/// The number of unusable lines of a file that are logged one by one.
const UNUSABLE_LINES_LOGGED: usize = 3;

/// Reads the files of `--allow`.
///
/// # Errors
/// The status to end with if one cannot be used; the reason is logged.
pub(super) fn read(noise: &NoiseOptions) -> Result<Allow, ExitCode> {
    let mut allow = Allow::new(noise.allow_defaults);
    for path in &noise.allow {
        let name = input::name(path);
        let allowed = read_one(path).map_err(|reason| {
            error!(file = name.as_str(), reason:% = reason; "--allow {name}: {reason}");
            ExitCode::Usage
        })?;
        for line in allowed.unusable.iter().take(UNUSABLE_LINES_LOGGED) {
            warn!(
                file = name.as_str(), reason = "it is not a value that can be allowed";
                "--allow {name}: {} is not a value that can be allowed",
                printable(line, 200)
            );
        }
        if allowed.unusable.len() > UNUSABLE_LINES_LOGGED {
            let count = allowed.unusable.len();
            warn!("--allow {name}: {count} line(s) are not values that can be allowed");
        }
        info!("{} value(s) are allowed by {name}", allowed.entries.len());
        allow.add(&name, allowed.entries);
    }
    Ok(allow)
}

/// Reads one file of `--allow`.
///
/// # Errors
/// The human-readable reason why the file cannot be read, or names no values.
pub(super) fn read_one(path: &Path) -> Result<Allowed, String> {
    let metadata = path.metadata().map_err(|error| error.to_string())?;
    if metadata.len() > MOST_BYTES {
        return Err(format!("it has more than {} MiB", MOST_BYTES >> 20));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    parse(&text)
}
