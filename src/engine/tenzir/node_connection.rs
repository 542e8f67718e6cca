//! A connection to the node that is kept open while a query runs. A `tenzir` whose node
//! dies hangs silently (measured), but the connection closes.

use std::io::{ErrorKind, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::process::endpoint::Endpoint;

/// The time limit for connecting.
const CONNECTING: Duration = Duration::from_secs(2);

/// The connection. It only carries the node's greeting.
#[derive(Debug)]
pub(super) struct NodeConnection(TcpStream);

impl NodeConnection {
    /// Connects.
    ///
    /// # Errors
    /// The human-readable reason why nobody listens there.
    pub(super) fn hold(endpoint: &Endpoint) -> Result<Self, String> {
        let fail = |error: std::io::Error| format!("cannot connect to {endpoint}: {error}");
        let addresses = (endpoint.host(), endpoint.port())
            .to_socket_addrs()
            .map_err(fail)?;
        let mut last = ErrorKind::AddrNotAvailable.into();
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECTING) {
                Ok(stream) => {
                    stream.set_nonblocking(true).map_err(fail)?;
                    return Ok(NodeConnection(stream));
                }
                Err(error) => last = error,
            }
        }
        Err(fail(last))
    }

    /// Whether the node at the other end is still up.
    pub(super) fn holds(&mut self) -> bool {
        let mut said = [0; 4096];
        loop {
            match self.0.read(&mut said) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    kind => return kind == ErrorKind::WouldBlock,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn it_holds_until_the_other_side_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let endpoint: Endpoint = address.to_string().parse().expect("an endpoint");
        let mut node = NodeConnection::hold(&endpoint).expect("someone listens");
        let (mut other, _) = listener.accept().expect("a connection");
        other
            .write_all(b"hello")
            .expect("there is room for five bytes");
        assert!(node.holds());
        drop((other, listener));
        node.0.set_nonblocking(false).expect("a socket");
        assert!(!node.holds());
        let error = NodeConnection::hold(&endpoint).expect_err("nobody listens");
        assert!(error.contains(&address.to_string()), "{error}");
    }
}
