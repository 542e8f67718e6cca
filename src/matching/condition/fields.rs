//! Fields that narrow what an indicator means, beside the places of the kinds.

/// A field, whatever the type of the event calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The address that a connection comes from.
    SourceAddress,
    /// The address that it goes to.
    DestinationAddress,
    /// The name that its source gives itself.
    SourceHost,
    /// The host that is asked for at its destination.
    DestinationHost,
    /// The port that it comes from.
    SourcePort,
    /// The port that it goes to.
    DestinationPort,
    /// The bytes from where it comes from.
    SourceBytes,
    /// The bytes from where it goes to.
    DestinationBytes,
    /// The packets from where it comes from.
    SourcePackets,
    /// The packets from where it goes to.
    DestinationPackets,
    /// When it began.
    Start,
    /// When it ended.
    End,
    /// Its protocols, of any layer.
    Protocol,
    /// The size of a file in bytes.
    FileSize,
    /// The URL that a request says it comes from.
    Referrer,
    /// The host that a request names.
    RequestHost,
    /// The files that a mail carries.
    Attachment,
    /// Where a mail wants its answer.
    ReplyTo,
}

impl Field {
    /// What stands in it, for a person.
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

    /// The ends of its paths that VAST is asked for, where it is asked for the field; the
    /// table of places has all of them.
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
