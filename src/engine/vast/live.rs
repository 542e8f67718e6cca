//! The source of live matches of VAST: a matcher, or the export of new events.

use std::sync::Arc;

use log::info;

use super::client::Client;
use super::matcher::{Generation, How, VastMatcher, Watch};
use crate::engine::LiveEngine;
use crate::engine::live::{LiveSource, RemoteMatcher};
use crate::engine::{Engine, LiveOptions};
use crate::process::stop::Stop;

/// The source that this VAST supports for the given options.
///
/// # Errors
/// It needs the name of a matcher, and none was given.
pub(super) fn source(
    client: &Client,
    options: &LiveOptions,
    stop: &Stop,
) -> Result<LiveSource, String> {
    let way = match options.way {
        LiveEngine::Auto => match client.matcher_generation(stop) {
            Generation::Attach => LiveEngine::Attach,
            Generation::Start => LiveEngine::Start,
            Generation::None => {
                info!("this VAST has no matcher: its new events are exported and matched here");
                LiveEngine::Continuous
            }
        },
        chosen => chosen,
    };
    let how = match (way, options.matcher_name.clone()) {
        (LiveEngine::Attach, Some(name)) => How::Attach(name),
        (LiveEngine::Attach, None) => {
            return Err(
                "this VAST has matchers that the node runs: name one with --matcher-name, or have \
                 new events matched here with --live-engine continuous"
                    .to_owned(),
            );
        }
        (LiveEngine::Start, name) => How::Start(name.unwrap_or_else(random_name)),
        (LiveEngine::Auto | LiveEngine::Continuous, _) => How::Continuous,
    };
    let concepts = client.concepts(stop);
    let matcher = VastMatcher::new(client.clone(), how.clone());
    Ok(LiveSource {
        matcher: matcher.map(|matcher| Arc::new(matcher) as Arc<dyn RemoteMatcher>),
        scope: Box::new(concepts.clone()),
        concepts,
        knows_events: !matches!(how, How::Start(_)),
        stream: Box::new(Watch::new(client.clone(), how)),
    })
}

/// `threatbus-` and ten letters, like the names of the original's matchers.
fn random_name() -> String {
    let random = uuid::Uuid::new_v4();
    let letters = random.as_bytes().iter().filter(|byte| **byte < 26 * 9);
    let letters = letters.map(|byte| char::from(b'a' + byte % 26));
    let letters: String = letters.chain(std::iter::repeat('x')).take(10).collect();
    format!("threatbus-{letters}")
}
