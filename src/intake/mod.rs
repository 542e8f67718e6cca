//! Arriving indicators: the way from the receiver to the matchers ([`Intake`]), the
//! one life cycle of an indicator ([`Life`]) that stored events, new events and log files
//! share, and the one table ([`IndicatorTable`]) that new events and log files share.

mod account;
mod fates;
mod id;
mod indicator_table;
mod lanes;
mod life;
mod not_yet_valid;
mod notes;
mod received;

pub use account::{Account, Budget, LanePlace, QUEUE_BYTES};
pub use fates::{Fate, FateCounts, Fates};
pub use id::ShortId;
pub use indicator_table::{Change, IndicatorTable, TableMatch, TableScratch};
pub use lanes::{Arrival, Intake};
pub use life::{Expiry, Input, Life, NoRoom, Output, PutOutcome, Table};
pub use notes::{Way, note, note_left, note_unsupported};
pub use received::Received;
