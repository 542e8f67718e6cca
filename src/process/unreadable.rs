//! Recognises files that can be read neither as logs nor as feeds by their first bytes, with
//! advice for each.

/// The beginnings of such files, and the reasons for the user.
const KNOWN: [(&[u8], &str); 14] = [
    (
        b"\xfd7zXZ\x00",
        "it is compressed with xz: pipe it \
         (`xz -dc FILE | vast-threatbus …`, with `-` for the file)",
    ),
    (
        b"\x04\x22\x4d\x18",
        "it is compressed with LZ4: pipe it \
         (`lz4 -dc FILE | vast-threatbus …`, with `-` for the file)",
    ),
    (
        b"\x5d\x00\x00",
        "it is compressed with LZMA: pipe it \
         (`xz -dc FILE | vast-threatbus …`, with `-` for the file)",
    ),
    (
        b"\x1f\x9d",
        "it is compressed with compress: pipe it \
         (`zcat FILE | vast-threatbus …`, with `-` for the file)",
    ),
    (
        b"\xff\x06\x00\x00sNaPpY",
        "it is compressed with Snappy: pipe its content \
         (`… | vast-threatbus …`, with `-` for the file)",
    ),
    (
        b"PK\x03\x04",
        "it is a ZIP archive: pipe its content \
         (`unzip -p FILE | vast-threatbus …`, with `-` for the file)",
    ),
    (
        b"7z\xbc\xaf\x27\x1c",
        "it is a 7-Zip archive: pipe its content \
         (`7z x -so FILE | vast-threatbus …`, with `-` for the file)",
    ),
    (b"\xa1\xb2\xc3\xd4", PACKETS),
    (b"\xd4\xc3\xb2\xa1", PACKETS),
    (b"\x4d\x3c\xb2\xa1", PACKETS),
    (b"\x0a\x0d\x0d\x0a", PACKETS),
    (
        b"LPKSHHRH",
        "it is a journal of systemd: pipe its content \
         (`journalctl -o cat --file FILE | vast-threatbus …`, with `-` for the file)",
    ),
    (b"\xff\xfe", UTF_16),
    (b"\xfe\xff", UTF_16),
];

/// With fewer bytes, text may still turn out to be UTF-16.
pub const LEAST_BEGINNING: usize = 4;

/// With this many bytes, all of them and tar archives are recognised.
pub const ENOUGH: usize = 512;

const PACKETS: &str =
    "it holds packets: have Suricata or Zeek make events of them (`suricata -r`, `zeek -r`)";

const UTF_16: &str = "it is UTF-16, and UTF-8 is read: convert it \
                      (`iconv -f UTF-16 -t UTF-8 FILE | vast-threatbus …`, with `-` for the file)";

const BZIP2: &str = "it is compressed with bzip2: pipe it \
     (`bzip2 -dc FILE | vast-threatbus …`, with `-` for the file)";

const TAR: &str = "it is a tar archive: pipe its content \
     (`tar -xOf FILE | vast-threatbus …`, with `-` for the file)";

/// Why a file with this beginning cannot be read; `None` if it may be a log or a feed.
pub fn reason(beginning: &[u8]) -> Option<&'static str> {
    if let Some((_, reason)) = KNOWN.iter().find(|(magic, _)| beginning.starts_with(magic)) {
        return Some(reason);
    }
    match beginning {
        [first, 0, second, 0, ..] | [0, first, 0, second, ..] if *first > 0 && *second > 0 => {
            Some(UTF_16)
        }
        // A block, or the end of a file without blocks.
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', ..]
        | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, b'r', b'E', ..] => Some(BZIP2),
        _ if is_tar(beginning) => Some(TAR),
        _ => None,
    }
}

/// Whether it begins with the header of a tar archive: the name of the first file, padded
/// with NUL bytes, and the magic after it. A log that is recognised by its first character
/// is not an archive.
fn is_tar(beginning: &[u8]) -> bool {
    beginning.get(257..262) == Some(b"ustar")
        && !beginning[..257].contains(&b'\n')
        && !beginning.trim_ascii_start().starts_with(b"{")
        && !beginning.trim_ascii_start().starts_with(b"[")
}

/// Whether an unreadable file is no log: a packet capture. Any other may contain one.
pub fn is_no_log(reason: &str) -> bool {
    reason == PACKETS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_says_what_to_do() {
        for (beginning, word) in [
            (&b"\xfd7zXZ\x00\x00\x04"[..], "xz -dc"),
            (b"BZh91AY&SY", "bzip2 -dc"),
            (b"PK\x03\x04\x14", "unzip -p"),
            (b"\xff\xfe{\x00", "iconv"),
            (b"{\x00\"\x00", "iconv"),
            (b"\x00{\x00\"", "iconv"),
            (b"\xd4\xc3\xb2\xa1\x02\x00", "suricata -r"),
        ] {
            let reason = reason(beginning).expect("nothing to read");
            assert!(reason.contains(word), "{reason}");
        }
        let tar = [&[b'a'; 257][..], b"ustar\x0000"].concat();
        assert!(reason(&tar).expect("nothing to read").contains("tar -xOf"));
        for beginning in [
            &b"{}"[..],
            b"",
            b"\x00\x00\x00\x00{",
            b"#sep",
            b"\xef\xbb\xbf{",
        ] {
            assert_eq!(reason(beginning), None);
        }
    }
}
