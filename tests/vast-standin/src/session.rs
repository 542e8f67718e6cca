//! What every part of a call shares.

use std::sync::Arc;
use std::time::Duration;

use crate::calls::CallLog;
use crate::concepts::Concepts;
use crate::config::Config;
use crate::ending::Ending;
use crate::node::Node;
use crate::query::Dialect;
use crate::schema::Schema;
use crate::version::Version;

/// One call of the stand-in.
pub struct Session {
    /// The configuration of the stand-in.
    pub config: Config,
    /// The release that it behaves as.
    pub version: Version,
    /// What it was called with.
    pub arguments: Vec<String>,
    /// Where the call is written down.
    pub log: Arc<CallLog>,
    /// The node.
    pub node: Node,
}

impl Session {
    /// What the query language of this release knows.
    pub fn dialect(&self) -> Dialect {
        let mut dialect = self.version.dialect();
        if let Some(extractors) = &self.config.time_extractors {
            dialect.time_extractors.clone_from(extractors);
        }
        dialect
    }

    /// The concept table; empty without one.
    ///
    /// # Errors
    /// When the file of the table cannot be read.
    pub fn concepts(&self) -> Result<Concepts, Ending> {
        let Some(path) = &self.config.concepts else {
            return Ok(Concepts::default());
        };
        Concepts::parse(&std::fs::read(path)?)
            .map_err(|error| Ending::error(&format!("format_error: {}: {error}", path.display())))
    }

    /// The types of fields.
    pub fn schema(&self) -> Schema {
        Schema {
            address_fields: self.config.address_fields.clone(),
        }
    }

    /// Waits for some seconds.
    ///
    /// # Errors
    /// When the node goes away meanwhile.
    pub fn pause(&self, seconds: f64) -> Result<(), Ending> {
        self.node
            .pause(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }

    /// What the client's own shut-down takes; the node is not needed for it.
    ///
    /// # Errors
    /// None at present; the signature is that of every step of a call.
    pub fn shut_down(&self) -> Result<(), Ending> {
        let seconds = self.config.shutdown_seconds;
        std::thread::sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        Ok(())
    }
}
