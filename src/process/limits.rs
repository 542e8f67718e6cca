//! The resource limits of this process.

use log::debug;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files as far as allowed: each engine with live matching needs
/// about ten, and many systems start with 1,024.
pub fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        debug!("the limit on open files stays as it is: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_files_as_there_may_be_can_be_open() {
        allow_many_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
