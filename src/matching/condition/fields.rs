//! Fields that narrow what an indicator means, in addition to the places of the kinds.

/// A field, independent of its name in each type of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The source address of a connection.
    SourceAddress,
    /// The destination address.
    DestinationAddress,
    /// The name that the source gives for itself.
    SourceHost,
    /// The requested host at the destination.
    DestinationHost,
    /// The source port.
    SourcePort,
    /// The destination port.
    DestinationPort,
    /// The bytes from the source.
    SourceBytes,
    /// The bytes from the destination.
    DestinationBytes,
    /// The packets from the source.
    SourcePackets,
    /// The packets from the destination.
    DestinationPackets,
    /// The start of the connection.
    Start,
    /// The end of the connection.
    End,
    /// Its protocols, of any layer.
    Protocol,
    /// The size of a file in bytes.
    FileSize,
    /// The URL that a request names as its referrer.
    Referrer,
    /// The host that a request names.
    RequestHost,
    /// The files that a mail carries.
    Attachment,
    /// The reply-to address of a mail.
    ReplyTo,
}

impl Field {
    /// The human-readable name of the field.
    pub fn name(self) -> &'static str {
        match self {
            Field::SourceAddress => "address of a source",
            Field::DestinationAddress => "address of a destination",
            Field::SourceHost => "name of a source",
            Field::DestinationHost => "name of a destination",
            Field::SourcePort => "port of a source",
            Field::DestinationPort => "port of a destination",
            Field::SourceBytes => "bytes of a source",
            Field::DestinationBytes => "bytes of a destination",
            Field::SourcePackets => "packets of a source",
            Field::DestinationPackets => "packets of a destination",
            Field::Start => "beginning of a connection",
            Field::End => "end of a connection",
            Field::Protocol => "protocol",
            Field::FileSize => "size of a file",
            Field::Referrer => "referrer of a request",
            Field::RequestHost => "host of a request",
            Field::Attachment => "attachment of a mail",
            Field::ReplyTo => "reply address of a mail",
        }
    }

    /// The path suffixes that VAST is queried for. The table of places has all paths.
    pub fn paths(self) -> &'static [&'static str] {
        match self {
            Field::SourcePort => &["src_port", "id.orig_p", "SourcePort", "sport"],
            Field::DestinationPort => &["dest_port", "id.resp_p", "DestinationPort", "dport"],
            Field::SourceBytes => &["flow.bytes_toserver", "orig_bytes"],
            Field::DestinationBytes => &["flow.bytes_toclient", "resp_bytes"],
            Field::SourcePackets => &["flow.pkts_toserver", "orig_pkts"],
            Field::DestinationPackets => &["flow.pkts_toclient", "resp_pkts"],
            Field::Protocol => &[
                "proto",
                "app_proto",
                "alert.app_proto",
                "event_type",
                "service",
                "Protocol",
            ],
            Field::FileSize => &["fileinfo.size"],
            Field::SourceAddress
            | Field::DestinationAddress
            | Field::SourceHost
            | Field::DestinationHost
            | Field::Start
            | Field::End
            | Field::Referrer
            | Field::RequestHost
            | Field::Attachment
            | Field::ReplyTo => &[],
        }
    }
}
