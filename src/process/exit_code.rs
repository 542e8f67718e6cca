//! The exit status of the program, for scripts and service managers.

/// The exit status of the program. The numbers from 64 up are those of
/// `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// A run that ends is complete, or a signal stopped a service.
    Success = 0,
    /// Everything works, but `--check` has warnings.
    Warning = 1,
    /// The command line, the environment or the configuration file is wrong, or an engine
    /// refuses what they say.
    Usage = 2,
    /// The run is complete and nothing matched, if `--exit-code` requests this status.
    NoMatch = 3,
    /// Threat Bus or an engine could not be reached, or `--check` found something missing.
    Unavailable = 69,
    /// A defect of the program, or something that the system refuses: the sink or a summary
    /// cannot be written, or no thread or descriptor is left.
    Software = 70,
    /// A run that ends is not complete and can be repeated: because of a signal, the
    /// deadline or a failure. Or the state directory is in use.
    TempFail = 75,
}

impl ExitCode {
    /// Whether the end was intended, so that nobody has to intervene.
    pub fn is_clean(self) -> bool {
        matches!(
            self,
            ExitCode::Success | ExitCode::Warning | ExitCode::NoMatch | ExitCode::TempFail
        )
    }

    /// The number for the operating system.
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        std::process::ExitCode::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_sysexits() {
        let numbers = [
            (ExitCode::Success, 0),
            (ExitCode::Warning, 1),
            (ExitCode::Usage, 2),
            (ExitCode::NoMatch, 3),
            (ExitCode::Unavailable, 69),
            (ExitCode::Software, 70),
            (ExitCode::TempFail, 75),
        ];
        for (code, number) in numbers {
            assert_eq!(code.number(), number);
            assert_eq!(
                std::process::ExitCode::from(code),
                std::process::ExitCode::from(number)
            );
        }
    }
}
