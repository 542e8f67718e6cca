//! The formats of logs, for messages and the documentation.

/// A log format.
#[derive(Clone, Copy, Debug)]
pub struct LogFormatInfo {
    /// Its name.
    pub name: &'static str,
    /// What is accepted.
    pub accepted: &'static str,
}

/// One JSON object a line.
pub const JSON_LINES: LogFormatInfo = LogFormatInfo {
    name: "JSON lines",
    accepted: "Suricata EVE and Zeek's JSON, one object a line. A byte order mark, CRLF, NUL bytes \
            that a truncating rotation leaves, what syslog puts before the object, and a comma \
            after it are skipped, and so are the actions of Elasticsearch's bulk API. A line may \
            have several objects, or an array. Exports of Elasticsearch (`_source`) and Splunk (`result`, \
            `_raw`) are unwrapped. If a shipper has kept the event as text, that is read too: \
            Filebeat and Logstash (`message`, `event.original`), Docker and Fluent Bit (`log`), \
            journald (`MESSAGE`, also as bytes), GELF (`short_message`), Loki (`line`), kcat \
            (`payload`), Google Cloud (`textPayload`), rsyslog (`msg`), Splunk and Cribl (`_raw`), \
            NXLog (`raw_event`), Azure Sentinel (`RawData`), OpenTelemetry (`body`), Wazuh (`full_log`), \
            and lines that are such a text (`jq .message`)",
};

/// JSON arrays, and objects over several lines.
pub const JSON_ARRAYS: LogFormatInfo = LogFormatInfo {
    name: "JSON arrays",
    accepted: "the same events in arrays, on one line, one a line or pretty-printed (`jq -s`), \
            objects over several lines, the responses of Elasticsearch and Kibana (`hits.hits`) \
            and Splunk (`results`), and arrays under `events`, `value`, `Records` and `logEvents`; \
            several responses and single events in any order",
};

/// Zeek's own format.
pub const ZEEK_LOGS: LogFormatInfo = LogFormatInfo {
    name: "Zeek logs",
    accepted: "Zeek's default: its ASCII format, tab-separated or with the separators that the header \
            names; headers may be repeated, and may follow other lines. A sighting shows the event \
            as Zeek's JSON writer would print it",
};

/// All log formats.
pub const LOG_FORMATS: [LogFormatInfo; 3] = [JSON_LINES, JSON_ARRAYS, ZEEK_LOGS];
