//! The nodes of engines as they are given: `[NAME=][SCHEME://]HOST:PORT`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::engine::EngineChoice;
use crate::process::endpoint::{Endpoint, EndpointError};

/// The most bytes that a name has.
const LONGEST_NAME: usize = 200;

/// Where an engine listens, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is called, where that is said.
    pub name: Option<String>,
    /// What listens there, where that is said.
    pub choice: Option<EngineChoice>,
    /// Where it listens.
    pub endpoint: Endpoint,
}

/// Why a text is no [`Node`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NodeError {
    /// What stands before the `=` cannot be a name.
    #[error("a name has 1 to {LONGEST_NAME} bytes, no blank at its ends and no control characters")]
    Name,
    /// No engine is called like this.
    #[error("there is no engine {0:?}; the schemes are vast:// and tenzir://")]
    Scheme(String),
    /// What stands there is no host with a port.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

impl Node {
    /// Whether nothing is said but where it listens.
    pub(super) fn is_plain(&self) -> bool {
        self.name.is_none() && self.choice.is_none()
    }
}

impl FromStr for Node {
    type Err = NodeError;

    fn from_str(text: &str) -> Result<Self, NodeError> {
        // No endpoint holds a `=`.
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
            Some((scheme, endpoint)) => match scheme.to_ascii_lowercase().as_str() {
                "vast" => (Some(EngineChoice::Vast), endpoint),
                "tenzir" => (Some(EngineChoice::Tenzir), endpoint),
                _ => return Err(NodeError::Scheme(format!("{scheme}://"))),
            },
        };
        Ok(Node {
            name: name.map(str::to_owned),
            choice,
            endpoint: endpoint.parse()?,
        })
    }
}

impl fmt::Display for Node {
    /// Its name; else where it listens.
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
            let node: Node = text.parse().expect(text);
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
            ("a=://a:1", scheme("://")),
            ("a=b", NodeError::Endpoint(EndpointError::NoPort)),
            ("vast://", NodeError::Endpoint(EndpointError::NoPort)),
        ] {
            assert_eq!(text.parse::<Node>(), Err(error), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_a_panic(text in "([a-z =]{0,6}=)?((vast|tenzir|x)://)?\\PC{0,12}(:[0-9]{0,6})?") {
            if let Ok(node) = text.parse::<Node>() {
                proptest::prop_assert!(text.contains(node.endpoint.host()));
            }
        }
    }
}
