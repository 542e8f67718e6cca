//! Fields of connections and files that narrow what an indicator means.

/// A field, whatever the type of the event calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The address that a connection comes from.
    SourceAddress,
    /// The address that it goes to.
    DestinationAddress,
    /// The port that it comes from.
    SourcePort,
    /// The port that it goes to.
    DestinationPort,
    /// Its protocols, of any layer.
    Protocol,
    /// The size of a file in bytes.
    FileSize,
    /// How many bytes the source sent.
    SourceBytes,
    /// How many bytes the destination sent.
    DestinationBytes,
    /// How many packets the source sent.
    SourcePackets,
    /// How many packets the destination sent.
    DestinationPackets,
}

impl Field {
    /// Its paths, in Suricata's, Zeek's, Sysmon's events and in packets.
    pub fn paths(self) -> &'static [&'static str] {
        match self {
            Field::SourceAddress => &["src_ip", "id.orig_h", "SourceIp", "src"],
            Field::DestinationAddress => &["dest_ip", "id.resp_h", "DestinationIp", "dst"],
            Field::SourcePort => &["src_port", "id.orig_p", "SourcePort", "sport"],
            Field::DestinationPort => &["dest_port", "id.resp_p", "DestinationPort", "dport"],
            Field::Protocol => &[
                "proto",
                "app_proto",
                "alert.app_proto",
                "event_type",
                "service",
                "Protocol",
            ],
            Field::FileSize => &["fileinfo.size"],
            Field::SourceBytes => &["flow.bytes_toserver", "orig_bytes"],
            Field::DestinationBytes => &["flow.bytes_toclient", "resp_bytes"],
            Field::SourcePackets => &["flow.pkts_toserver", "orig_pkts"],
            Field::DestinationPackets => &["flow.pkts_toclient", "resp_pkts"],
        }
    }

    /// Whether a field of this path is one.
    pub fn has(self, path: &str) -> bool {
        self.paths().contains(&path)
    }
}
