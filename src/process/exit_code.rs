//! How the program ends, as a number for scripts and service managers.

/// The exit status of the program. The numbers from 64 up are those of
/// `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// It did what was asked, or was stopped by a signal.
    Success = 0,
    /// Everything works, but `--check` has warnings.
    Warning = 1,
    /// The command line, the environment or the configuration file is wrong.
    Usage = 2,
    /// The run is complete and nothing matched, where this was asked for.
    NoMatch = 3,
    /// Threat Bus or VAST could not be reached.
    Unavailable = 69,
    /// An error in the program itself.
    Software = 70,
    /// The run is not complete; it may be tried again.
    TempFail = 75,
}

impl ExitCode {
    /// Whether it is an end that was meant, and nothing that somebody has to see to for
    /// the program to go on.
    pub fn is_clean(self) -> bool {
        matches!(
            self,
            ExitCode::Success | ExitCode::Warning | ExitCode::NoMatch | ExitCode::TempFail
        )
    }

    /// The number that the operating system gets.
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
