//! The forms in which logs are read, as messages and the documentation have them.

/// A form of logs.
#[derive(Clone, Copy, Debug)]
pub struct LogForm {
    /// What it is called.
    pub name: &'static str,
    /// What is taken.
    pub taken: &'static str,
}

/// All of them.
pub const LOG_FORMS: [LogForm; 3] = [
    LogForm {
        name: "JSON lines",
        taken: "Suricata EVE and Zeek's JSON, one object a line. A byte order mark, CRLF, NUL bytes \
                that a truncating rotation leaves, what syslog puts before the object and a comma \
                behind it are passed over. Exports of Elasticsearch (`_source`) and Splunk \
                (`result`, `_raw`) are unwrapped",
    },
    LogForm {
        name: "JSON arrays",
        taken: "the same events in arrays, on one line, one a line or pretty-printed (`jq -s`), \
                objects over several lines, and the answers of Elasticsearch and Kibana \
                (`hits.hits`) and Splunk (`results`)",
    },
    LogForm {
        name: "Zeek logs",
        taken: "Zeek's default: its ASCII format, tab-separated or with the separators that the header \
                names; headers may come again. A sighting shows the event as Zeek's JSON writer \
                would print it",
    },
];
