//! Compressed logs: told by their first bytes, not by their name, so that
//! standard input is understood too.

use std::io::{self, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// How much compressed data is read at once, in bytes.
const INPUT: usize = 256 << 10;

/// How a log is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As it is.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstandard,
}

impl Format {
    /// The format of what begins with these bytes.
    pub fn of(beginning: &[u8]) -> Self {
        match beginning {
            [0x1f, 0x8b, ..] => Format::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Format::Zstandard,
            [first, 0x2a, 0x4d, 0x18, ..] if (0x50..=0x5f).contains(first) => Format::Zstandard,
            _ => Format::Plain,
        }
    }
}

/// The log itself, whatever it is stored as.
///
/// # Errors
/// Those of the reader.
pub fn decoded<'a>(mut reader: impl Read + 'a) -> io::Result<(Format, Box<dyn Read + 'a>)> {
    let beginning = read_up_to_4(&mut reader)?;
    let format = Format::of(&beginning);
    let whole = Cursor::new(beginning).chain(reader);
    let decoded: Box<dyn Read + 'a> = match format {
        Format::Plain => Box::new(whole),
        Format::Gzip => {
            let input = BufReader::with_capacity(INPUT, whole);
            Box::new(MultiGzDecoder::new(input))
        }
        Format::Zstandard => {
            let input = BufReader::with_capacity(INPUT, whole);
            Box::new(Frames(State::Between(input)))
        }
    };
    Ok((format, decoded))
}

fn read_up_to_4(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(4);
    reader.take(4).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file of Zstandard is any number of frames; the decoder reads one.
struct Frames<R: Read>(State<R>);

type Frame<R> = StreamingDecoder<Chain<Cursor<Vec<u8>>, R>, FrameDecoder>;

enum State<R: Read> {
    Between(R),
    Inside(Box<Frame<R>>),
    Ended,
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            // An error ends it: what follows would make no sense.
            match std::mem::replace(&mut self.0, State::Ended) {
                State::Ended => return Ok(0),
                State::Between(reader) => self.0 = next_frame(reader)?,
                State::Inside(mut frame) => match frame.read(buffer)? {
                    0 => self.0 = State::Between(frame.into_inner().into_inner().1),
                    read => {
                        self.0 = State::Inside(frame);
                        return Ok(read);
                    }
                },
            }
        }
    }
}

fn next_frame<R: Read>(mut reader: R) -> io::Result<State<R>> {
    loop {
        let magic = read_up_to_4(&mut reader)?;
        match magic[..] {
            [] => return Ok(State::Ended),
            // A skippable frame: its length, and data for other programs.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
                let mut length = [0; 4];
                reader.read_exact(&mut length)?;
                let length = u64::from(u32::from_le_bytes(length));
                let skipped = io::copy(&mut (&mut reader).take(length), &mut io::sink())?;
                if skipped < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            _ => {
                let whole = Cursor::new(magic).chain(reader);
                let frame = StreamingDecoder::new(whole).map_err(|error| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("Zstandard: {error}"))
                })?;
                return Ok(State::Inside(Box::new(frame)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).expect("memory does not fail");
        encoder.finish().expect("memory does not fail")
    }

    fn zstandard(text: &[u8]) -> Vec<u8> {
        compress_to_vec(text, CompressionLevel::Fastest)
    }

    fn read(stored: &[u8]) -> io::Result<(Format, Vec<u8>)> {
        let (format, mut reader) = decoded(stored)?;
        let mut text = Vec::new();
        reader.read_to_end(&mut text)?;
        Ok((format, text))
    }

    #[test]
    fn every_format_is_known_by_its_content() {
        let text = b"{\"a\": 1}\n".repeat(10_000);
        for (stored, expected) in [
            (text.clone(), Format::Plain),
            (gzip(&text), Format::Gzip),
            (zstandard(&text), Format::Zstandard),
        ] {
            let (format, back) = read(&stored).expect("a good file");
            assert_eq!((format, back.len()), (expected, text.len()));
            assert_eq!(back, text);
        }
        for short in [&b""[..], b"{", b"\x1f", b"abc"] {
            let (format, back) = read(short).expect("a good file");
            assert_eq!((format, &back[..]), (Format::Plain, short));
        }
    }

    #[test]
    fn files_put_end_to_end_are_read_to_the_end() {
        let skippable = [&b"\x52\x2a\x4d\x18"[..], &5u32.to_le_bytes(), b"other"].concat();
        for stored in [
            [gzip(b"a\n"), gzip(b"b\n")].concat(),
            [zstandard(b"a\n"), zstandard(b"b\n")].concat(),
            [&skippable[..], &zstandard(b"a\nb\n"), &skippable].concat(),
        ] {
            assert_eq!(read(&stored).expect("a good file").1, b"a\nb\n");
        }
    }

    #[test]
    fn damage_is_an_error_and_no_panic() {
        let text = b"{\"a\": 1}\n".repeat(1000);
        for stored in [gzip(&text), zstandard(&text)] {
            assert!(read(&stored[..stored.len() / 2]).is_err());
            let garbage = [&stored[..], b"garbage"].concat();
            assert!(read(&garbage).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(
            format in 0usize..3,
            tail in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        ) {
            let magic = [&b"\x1f\x8b\x08\x00"[..], b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"][format];
            let _ = read(&[magic, &tail].concat());
        }
    }
}
