//! Opening and closing, in a process of its own so that nothing else counts.

use crate::support::broker::BrokerKind;

#[test]
fn nothing_grows_with_what_is_opened_and_closed() {
    for kind in [BrokerKind::Legacy, BrokerKind::Ports] {
        let outcome = crate::scenarios::cycles::opened_and_closed(kind, 100);
        println!("{}", outcome.note);
    }
}
