//! Threat Bus on the wire: management requests, received messages, published sightings.

pub mod alive;
pub mod echo;
pub mod flight;
pub mod gate;
pub mod management;
pub mod outbox;
pub mod outgoing;
pub mod pace;
pub mod publish;
pub mod receive;
mod reception;
pub mod seen_indicators;
pub mod session;
pub mod share;
mod sub;
pub mod subscription;
