//! The broker's reply to a subscription.
#![no_main]

use vast_threatbus::bus::management;

libfuzzer_sys::fuzz_target!(|reply: &[u8]| {
    match management::read_subscription(reply, "bus.example") {
        Ok(subscription) => {
            // The topic can break no message and no line of a file.
            let topic = subscription.topic;
            assert!((1..=255).contains(&topic.len()), "{topic:?}");
            assert!(
                topic.bytes().all(|byte| byte.is_ascii_graphic()),
                "{topic:?}"
            );
            for endpoint in [subscription.pub_endpoint, subscription.sub_endpoint] {
                let text = endpoint.to_string();
                assert!(
                    !text.contains(|c: char| c.is_control() || c == ' '),
                    "{text:?}"
                );
            }
        }
        Err(error) => {
            // What is logged contains no control characters.
            let text = error.to_string();
            assert!(!text.contains(char::is_control), "{text:?}");
        }
    }
});
