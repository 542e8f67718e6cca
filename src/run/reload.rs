//! Reading files anew when a signal asks for it: the files of `--allow` here, and behind
//! them those of indicators, where these are looked after.

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{error, info};

use super::allow;
use crate::config::Config;
use crate::indicator::Allowing;
use crate::observe::logging;

/// What is done at the signal, and the wishes that it leaves: none in a run that ends,
/// whose files are read once. Wishes that come while one waits are that one.
pub(super) fn channel(config: &Config) -> (impl FnMut() + Send + 'static, Receiver<()>) {
    let (sender, wishes) = bounded(1);
    let sender = (!config.jobs.once).then_some(sender);
    let wish = move || {
        logging::reopen();
        if let Some(sender) = &sender {
            pass_on(sender);
        }
    };
    (wish, wishes)
}

/// Starts the thread that reads what is allowed anew; gives the wishes for whoever reads
/// indicators. Large files take their time, and signals are not to wait.
///
/// # Errors
/// The system has no thread left.
pub(super) fn start(
    config: &Config,
    allowing: Allowing,
    wishes: Receiver<()>,
) -> std::io::Result<Receiver<()>> {
    let (sender, further) = bounded(1);
    let noise = config.noise.clone();
    let reload = move || {
        for () in wishes {
            if !noise.allow.is_empty() {
                match allow::read(&noise) {
                    Ok(allow) => {
                        allowing.change(allow);
                        info!("the files of --allow are read again");
                    }
                    // Why, it has said.
                    Err(_) => error!("what was allowed before still is"),
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
    // One that waits already is enough; nobody listens any more at the end.
    let _ = sender.try_send(());
}
