//! Processes, this one and its children: start, stop, signals, exit.

pub mod child;
pub mod command;
pub mod endpoint;
pub mod exit_code;
pub mod input;
pub mod limits;
pub mod notify;
pub mod stop;
pub mod text;
pub mod thread;
pub mod ticker;
pub mod unreadable;
