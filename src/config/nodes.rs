//! The syntax of engine nodes: `[NAME=][SCHEME://]HOST:PORT`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::engine::EngineChoice;
use crate::process::endpoint::{Endpoint, EndpointError};

/// The longest name in bytes.
const LONGEST_NAME: usize = 200;

/// The endpoint of an engine, with its name and kind if given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineNode {
    /// Its name, if given.
    pub name: Option<String>,
    /// The kind of engine, if given.
    pub choice: Option<EngineChoice>,
    /// Where it listens.
    pub endpoint: Endpoint,
}

/// Why a text is not a [`EngineNode`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NodeError {
    /// The text before the `=` is not a valid name.
    #[error("a name has 1 to {LONGEST_NAME} bytes, no blank at its ends and no control characters")]
    Name,
    /// There is no such engine.
    #[error("there is no engine {0:?}; the schemes are {schemes}", schemes = EngineChoice::schemes())]
    Scheme(String),
    /// The rest is not a host and a port.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

impl EngineNode {
    /// Whether only an endpoint is given.
    pub(super) fn is_plain(&self) -> bool {
        self.name.is_none() && self.choice.is_none()
    }
}

impl FromStr for EngineNode {
    type Err = NodeError;

    fn from_str(text: &str) -> Result<Self, NodeError> {
        // An endpoint cannot contain `=`.
        let (name, rest) = match text.rsplit_once('=') {
            Some((name, rest)) => (Some(name), rest),
            None => (None, text),
        };
        let is_name = |name: &str| {
            (1..=LONGEST_NAME).contains(&name.len())
                && name.trim() == name
                && !name.chars().any(char::is_control)
        };
        if name.is_some_and(|name| !is_name(name)) {
            return Err(NodeError::Name);
        }
        let (choice, endpoint) = match rest.split_once("://") {
            None => (None, rest),
            Some((scheme, endpoint)) => match EngineChoice::with_scheme(scheme) {
                None => return Err(NodeError::Scheme(format!("{scheme}://"))),
                choice => (choice, endpoint),
            },
        };
        Ok(EngineNode {
            name: name.map(str::to_owned),
            choice,
            endpoint: endpoint.parse()?,
        })
    }
}

impl fmt::Display for EngineNode {
    /// Its name, or else its endpoint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => self.endpoint.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_name_and_a_kind_where_they_are_said() {
        for (text, name, choice, shown) in [
            ("a.example:1", None, None, "a.example:1"),
            ("[::1]:42000", None, None, "[::1]:42000"),
            ("VAST://a:1", None, Some(EngineChoice::Vast), "a:1"),
            ("dmz=b:2", Some("dmz"), None, "dmz"),
            (
                "the dmz=tenzir://[::1]:2",
                Some("the dmz"),
                Some(EngineChoice::Tenzir),
                "the dmz",
            ),
            ("a=b=c:3", Some("a=b"), None, "a=b"),
        ] {
            let node: EngineNode = text.parse().expect(text);
            assert_eq!(
                (node.name.as_deref(), node.choice),
                (name, choice),
                "{text}"
            );
            assert_eq!(node.to_string(), shown);
            assert_eq!(node.is_plain(), name.is_none() && choice.is_none());
        }
    }

    #[test]
    fn what_is_no_node_says_why() {
        let scheme = |scheme: &str| NodeError::Scheme(scheme.to_owned());
        for (text, error) in [
            ("=a:1", NodeError::Name),
            (" a=a:1", NodeError::Name),
            ("a\n=a:1", NodeError::Name),
            ("zeek://a:1", scheme("zeek://")),
            ("files://a:1", scheme("files://")),
            ("a=://a:1", scheme("://")),
            ("a=b", NodeError::Endpoint(EndpointError::NoPort)),
            ("vast://", NodeError::Endpoint(EndpointError::NoPort)),
        ] {
            assert_eq!(text.parse::<EngineNode>(), Err(error), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_a_panic(text in "([a-z =]{0,6}=)?((vast|tenzir|x)://)?\\PC{0,12}(:[0-9]{0,6})?") {
            if let Ok(node) = text.parse::<EngineNode>() {
                proptest::prop_assert!(text.contains(node.endpoint.host()));
            }
        }
    }
}
