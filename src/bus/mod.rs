//! Threat Bus on the wire: management requests, incoming messages, outgoing
//! sightings.

pub mod alive;
pub mod echo;
pub mod flight;
pub mod gate;
pub mod manage;
pub mod outbox;
pub mod outgoing;
pub mod pace;
pub mod publish;
pub mod receive;
mod reception;
pub mod remembered;
pub mod session;
pub mod share;
mod sub;
pub mod subscription;
