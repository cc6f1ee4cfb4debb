//! State in memory that every backend keeps in the same way: the table of present nodes, the subscribers to changes,
//! appends and notices, and the receiving ends of lanes. A backend fills it from its own operations, and a backend of
//! several processes also from messages.

mod change_signal;
mod change_watcher;
mod lane_queue;
mod notice_channel;
mod presence_table;

pub use change_signal::{ChangeSignal, ChangeSignals};
pub use change_watcher::{ChangeWatcher, ChangeWatchers};
pub use lane_queue::{LaneInbox, SCHEDULER, lane_queue};
pub use notice_channel::NoticeChannel;
pub use presence_table::{PresenceStamp, PresenceTable};
