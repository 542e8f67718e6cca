//! Reloads files when a signal requests it: first the files of `--allow`, then those of
//! indicators if these are being watched.

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{error, info};

use super::allow;
use crate::config::Config;
use crate::indicator::Allowing;
use crate::observe::logging;

/// The action of the signal, and the requests that it sends. A run that ends sends none,
/// since it reads its files once. Requests are merged while one is waiting.
pub(super) fn channel(config: &Config) -> (impl FnMut() + Send + 'static, Receiver<()>) {
    let (sender, requests) = bounded(1);
    let sender = (!config.jobs.once).then_some(sender);
    let request = move || {
        logging::reopen();
        if let Some(sender) = &sender {
            pass_on(sender);
        }
    };
    (request, requests)
}

/// Starts the thread that reloads the allowed values; returns the requests for the reader
/// of indicators. It is a separate thread since large files take time, and signals must not
/// wait.
///
/// # Errors
/// The thread cannot be started.
pub(super) fn start(
    config: &Config,
    allowing: Allowing,
    requests: Receiver<()>,
) -> std::io::Result<Receiver<()>> {
    let (sender, further) = bounded(1);
    let noise = config.noise.clone();
    let reload = move || {
        for () in requests {
            if !noise.allow.is_empty() {
                match allow::read(&noise) {
                    Ok(allow) => {
                        allowing.change(allow);
                        info!("reloaded the files of --allow");
                    }
                    // The reason is already logged.
                    Err(_) => error!("keeping the values that were allowed before"),
                }
            }
            pass_on(&sender);
        }
    };
    let thread = std::thread::Builder::new().name("reload".to_owned());
    thread.spawn(reload)?;
    Ok(further)
}

fn pass_on(sender: &Sender<()>) {
    // If a request waits already, that is enough. At the end nobody receives it.
    let _ = sender.try_send(());
}
