//! Opening and closing, in its own process so that nothing else is counted.

use crate::support::broker::BrokerKind;

/// Set in the process that does nothing else.
const ALONE: &str = "VAST_THREATBUS_CYCLES_ALONE";

#[test]
fn nothing_grows_with_what_is_opened_and_closed() {
    if std::env::var_os(ALONE).is_none() {
        let program = std::env::current_exe().expect("the tests are a program");
        let output = std::process::Command::new(program)
            .args([
                "--exact",
                "cycles::nothing_grows_with_what_is_opened_and_closed",
            ])
            .arg("--nocapture")
            .env(ALONE, "1")
            .output()
            .expect("it can be run again");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}{errors}");
        assert!(text.contains("1 passed"), "{text}");
        return;
    }
    for kind in [BrokerKind::Legacy, BrokerKind::Ports] {
        let outcome = crate::scenarios::cycles::opened_and_closed(kind, 100);
        println!("{}", outcome.note);
    }
}
