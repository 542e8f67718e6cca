//! Opening and closing, in its own process so that nothing else is counted.

use crate::support::broker::BrokerKind;

#[test]
fn nothing_grows_with_what_is_opened_and_closed() {
    for kind in [BrokerKind::Legacy, BrokerKind::Ports] {
        let outcome = crate::scenarios::cycles::opened_and_closed(kind, 100);
        println!("{}", outcome.note);
    }
}
