//! The address of a server: a host and a port.

use std::fmt;
use std::net::Ipv6Addr;
use std::num::NonZeroU16;
use std::str::FromStr;

use thiserror::Error;

/// A host and a port, written `host:port`, or `[::1]:port` for an IPv6 address.
///
/// The host is an address or a name. It cannot contain anything that the program it is
/// passed to would read as an option, a second endpoint or a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: String,
    port: NonZeroU16,
}

/// Why a text is not an [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// Nothing precedes the colon.
    #[error("no host before the port")]
    NoHost,
    /// There is no colon followed by a port.
    #[error("a host without a port")]
    NoPort,
    /// The port is not a number from 1 to 65535.
    #[error("the port {0:?} is not a number from 1 to 65535")]
    BadPort(String),
    /// An IPv6 address without brackets; holds the address.
    #[error("an IPv6 address needs brackets: [{0}]:PORT")]
    Unbracketed(String),
    /// It starts like a URL; holds the scheme with its `://`.
    #[error("{0:?} does not belong to an endpoint")]
    Scheme(String),
    /// The host is neither an address nor a name.
    #[error("the host {0:?} is no address and no host name")]
    BadHost(String),
}

impl Endpoint {
    /// Makes an endpoint. An IPv6 address has no brackets here.
    pub fn new(host: &str, port: NonZeroU16) -> Result<Self, EndpointError> {
        if host.is_empty() {
            return Err(EndpointError::NoHost);
        }
        if !is_ipv6(host) && !is_name(host) {
            return Err(EndpointError::BadHost(host.to_owned()));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// A port on this machine.
    pub fn local(port: NonZeroU16) -> Self {
        Self {
            host: "localhost".to_owned(),
            port,
        }
    }

    /// The host; an IPv6 address has no brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address in ZeroMQ's notation.
    pub fn as_tcp(&self) -> String {
        format!("tcp://{self}")
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port.get()
    }

    /// The same host with another port.
    pub fn with_port(&self, port: NonZeroU16) -> Self {
        Self {
            host: self.host.clone(),
            port,
        }
    }
}

/// An IPv6 address, optionally with a zone (`fe80::1%eth0`).
fn is_ipv6(host: &str) -> bool {
    let (address, zone) = host.split_once('%').unwrap_or((host, "none"));
    address.parse::<Ipv6Addr>().is_ok() && is_name(zone)
}

/// A host name or an IPv4 address. Underscores are formally not allowed in host names,
/// but names of containers have them.
fn is_name(host: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !host.is_empty() && host.len() <= 255 && !host.starts_with('-') && host.chars().all(allowed)
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(EndpointError::Scheme(format!("{scheme}://")));
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(EndpointError::Unbracketed(text.to_owned()));
        }
        let (host, port) = text.rsplit_once(':').ok_or(EndpointError::NoPort)?;
        if host.starts_with('[') && text.ends_with(']') {
            return Err(EndpointError::NoPort);
        }
        let bare = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(address) if is_ipv6(address) => address,
            Some(_) => return Err(EndpointError::BadHost(host.to_owned())),
            None if is_ipv6(host) => return Err(EndpointError::Unbracketed(host.to_owned())),
            None => host,
        };
        if port.is_empty() {
            return Err(EndpointError::NoPort);
        }
        Self::new(bare, parse_port(port)?)
    }
}

fn parse_port(text: &str) -> Result<NonZeroU16, EndpointError> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits_only => Ok(port),
        _ => Err(EndpointError::BadPort(text.to_owned())),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Endpoint, EndpointError> {
        text.parse()
    }

    #[test]
    fn a_host_and_a_port() {
        for (text, host, port) in [
            ("localhost:42000", "localhost", 42000),
            ("192.0.2.7:1", "192.0.2.7", 1),
            ("[::1]:65535", "::1", 65535),
            ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
            (
                "threat_bus-1.example.org:13370",
                "threat_bus-1.example.org",
                13370,
            ),
        ] {
            let endpoint = parse(text).expect(text);
            assert_eq!((endpoint.host(), endpoint.port()), (host, port));
            assert_eq!(endpoint.to_string(), text);
        }
    }

    #[test]
    fn what_is_none_says_why() {
        use EndpointError::*;
        for (text, error) in [
            ("", NoPort),
            ("localhost", NoPort),
            ("localhost:", NoPort),
            ("[::1]", NoPort),
            (":42000", NoHost),
            ("localhost:0", BadPort("0".into())),
            ("localhost:65536", BadPort("65536".into())),
            ("localhost:+1", BadPort("+1".into())),
            ("localhost: 1", BadPort(" 1".into())),
            ("::1", Unbracketed("::1".into())),
            ("::1:42000", Unbracketed("::1".into())),
            ("--write=x:1", BadHost("--write=x".into())),
            ("a b:1", BadHost("a b".into())),
            ("[localhost]:1", BadHost("[localhost]".into())),
            ("a:1,b:2", BadHost("a:1,b".into())),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn another_port_keeps_the_host() {
        let other = parse("[::1]:1").expect("valid").with_port(NonZeroU16::MAX);
        assert_eq!(other.to_string(), "[::1]:65535");
    }

    proptest! {
        #[test]
        fn any_text_is_an_endpoint_or_an_error(text in "\\PC{0,40}|[\\[\\]a:%0-9.-]{0,20}") {
            match parse(&text) {
                Ok(endpoint) => {
                    prop_assert!(!endpoint.host().starts_with('-'));
                    prop_assert_eq!(parse(&endpoint.to_string()), Ok(endpoint));
                }
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
