//! Decompresses logs. The compression is detected from the first bytes and not from the
//! name, so that standard input works too.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::bufread::GzDecoder;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder, StreamingDecoder};

/// The bytes of compressed data that are read at once.
const INPUT: usize = 256 << 10;

/// The largest window of a Zstandard frame that is decoded, in bytes: the default limit
/// of `zstd`. The decoder stores up to twice as much.
const LARGEST_WINDOW: u64 = 128 << 20;

/// The compression of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not compressed.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstandard,
}

impl Compression {
    /// The compression of data that begins with these bytes.
    pub fn of(beginning: &[u8]) -> Self {
        match beginning {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstandard,
            [first, 0x2a, 0x4d, 0x18, ..] if (0x50..=0x5f).contains(first) => {
                Compression::Zstandard
            }
            _ => Compression::Plain,
        }
    }
}

/// Decompresses a log if necessary.
///
/// # Errors
/// Those of the reader.
pub fn decoded<'a>(mut reader: impl Read + 'a) -> io::Result<(Compression, Box<dyn Read + 'a>)> {
    let beginning = read_up_to_4(&mut reader)?;
    let compression = Compression::of(&beginning);
    let whole = Cursor::new(beginning).chain(reader);
    let decoded: Box<dyn Read + 'a> = match compression {
        Compression::Plain => Box::new(whole),
        Compression::Gzip => {
            let input = BufReader::with_capacity(INPUT, whole);
            Box::new(Members(Some(GzDecoder::new(input))))
        }
        Compression::Zstandard => {
            let input = BufReader::with_capacity(INPUT, whole);
            Box::new(Frames(State::Between(input)))
        }
    };
    Ok((compression, decoded))
}

fn read_up_to_4(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(4);
    reader.take(4).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A gzip file has any number of members; the decoder reads one. NUL bytes may follow, up to the
/// end of a block of a tape or a disk.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.0 {
            let result = member.read(buffer);
            if matches!(&result, Err(error) if error.kind() == io::ErrorKind::Interrupted) {
                return result;
            }
            // An error is final: what follows would be garbage.
            let ended = match result {
                Ok(0) => self.0.take(),
                Ok(read) => return Ok(read),
                Err(error) => {
                    self.0 = None;
                    return Err(too_early("gzip", error));
                }
            };
            self.0 = ended
                .map(GzDecoder::into_inner)
                .map(next_member)
                .transpose()?
                .flatten();
        }
        Ok(0)
    }
}

fn next_member<R: BufRead>(mut reader: R) -> io::Result<Option<GzDecoder<R>>> {
    loop {
        let beginning = reader.fill_buf()?;
        match beginning.iter().position(|byte| *byte != 0) {
            None if beginning.is_empty() => return Ok(None),
            None => {
                let count = beginning.len();
                reader.consume(count);
            }
            Some(count) => {
                let is_member = beginning[count] == 0x1f;
                reader.consume(count);
                return if is_member {
                    Ok(Some(GzDecoder::new(reader)))
                } else {
                    Err(invalid("something follows the end of the gzip data"))
                };
            }
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Names an end inside of the data for what it is.
fn too_early(format: &str, error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        io::Error::new(error.kind(), format!("the {format} file ends too early"))
    } else {
        error
    }
}

/// A Zstandard file has any number of frames; the decoder reads one.
struct Frames<R: Read>(State<R>);

type Frame<R> = StreamingDecoder<Chain<Cursor<Vec<u8>>, Noting<R>>, FrameDecoder>;

/// Notes whether the end of the input was read: the decoder does not tell that error from others.
struct Noting<R> {
    reader: R,
    has_ended: bool,
}

impl<R: Read> Read for Noting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.has_ended |= read == 0 && !buffer.is_empty();
        Ok(read)
    }
}

enum State<R: Read> {
    Between(R),
    Inside(Box<Frame<R>>),
    /// After an error: the decoder still holds the end of what it has decoded.
    Broken(Box<FrameDecoder>, io::Error),
    Ended,
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            // An error is final: what follows would be garbage.
            match std::mem::replace(&mut self.0, State::Ended) {
                State::Ended => return Ok(0),
                State::Between(reader) => self.0 = next_frame(reader)?,
                State::Inside(mut frame) => match frame.read(buffer) {
                    Ok(0) => {
                        check(&frame.decoder)?;
                        self.0 = State::Between(frame.into_inner().into_inner().1.reader);
                    }
                    Ok(read) => {
                        self.0 = State::Inside(frame);
                        return Ok(read);
                    }
                    Err(error) => {
                        let error = if frame.get_ref().get_ref().1.has_ended {
                            too_early("Zstandard", io::ErrorKind::UnexpectedEof.into())
                        } else {
                            error
                        };
                        self.0 = State::Broken(Box::new(all_decoded(*frame)), error);
                    }
                },
                State::Broken(mut decoder, error) => match decoder.read(buffer) {
                    Ok(0) | Err(_) => return Err(error),
                    Ok(read) => {
                        self.0 = State::Broken(decoder, error);
                        return Ok(read);
                    }
                },
            }
        }
    }
}

/// Compares the checksum of a frame that was read, if it has one.
fn check(decoder: &FrameDecoder) -> io::Result<()> {
    match decoder.get_checksum_from_data() {
        Some(checksum) if decoder.get_calculated_checksum() != Some(checksum) => {
            Err(invalid("the checksum of the Zstandard data is wrong"))
        }
        _ => Ok(()),
    }
}

/// An empty block that is the last of its frame, and a checksum.
const LAST_BLOCK: &[u8] = &[1, 0, 0, 0, 0, 0, 0];

/// The decoder of a broken frame, from which all that was decoded can be read. Before the last
/// block, it keeps a window of it: later blocks may repeat that.
fn all_decoded<R: Read>(frame: Frame<R>) -> FrameDecoder {
    let mut decoder = frame.into_frame_decoder();
    // If this fails, there is nothing more to read.
    let _ = decoder.decode_blocks(LAST_BLOCK, BlockDecodingStrategy::All);
    decoder
}

fn next_frame<R: Read>(mut reader: R) -> io::Result<State<R>> {
    loop {
        let magic = read_up_to_4(&mut reader)?;
        match magic[..] {
            [] => return Ok(State::Ended),
            // A skippable frame: its length, and data for other programs.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
                let mut length = [0; 4];
                let read = reader.read_exact(&mut length);
                read.map_err(|error| too_early("Zstandard", error))?;
                let length = u64::from(u32::from_le_bytes(length));
                let skipped = io::copy(&mut (&mut reader).take(length), &mut io::sink())?;
                if skipped < length {
                    return Err(too_early("Zstandard", io::ErrorKind::UnexpectedEof.into()));
                }
            }
            _ => {
                let beginning = header(magic, &mut reader)?;
                let has_ended = false;
                let whole = Cursor::new(beginning).chain(Noting { reader, has_ended });
                let frame = StreamingDecoder::new(whole).map_err(|error| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("Zstandard: {error}"))
                })?;
                return Ok(State::Inside(Box::new(frame)));
            }
        }
    }
}

/// Reads the part of a frame's header with the size of its window (RFC 8878, 3.1.1.1),
/// and returns all bytes read.
fn header(magic: Vec<u8>, reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut header = magic;
    let mut more = |header: &mut Vec<u8>, count: u64| -> io::Result<u64> {
        let start = header.len();
        reader.take(count).read_to_end(header)?;
        let mut number = [0; 8];
        let read = header.len() - start;
        number[..read].copy_from_slice(&header[start..]);
        Ok(u64::from_le_bytes(number))
    };
    let descriptor = more(&mut header, 1)?;
    let window = if descriptor & 0x20 == 0 {
        let byte = more(&mut header, 1)?;
        let base = 1 << (10 + (byte >> 3));
        base + base / 8 * (byte & 7)
    } else {
        // A single segment: the window is as large as the content.
        more(&mut header, [0, 1, 2, 4][(descriptor & 3) as usize])?;
        match descriptor >> 6 {
            0 => more(&mut header, 1)?,
            1 => 256 + more(&mut header, 2)?,
            2 => more(&mut header, 4)?,
            _ => more(&mut header, 8)?,
        }
    };
    if window > LARGEST_WINDOW {
        let error = format!(
            "Zstandard: its window has {window} bytes, and {LARGEST_WINDOW} are taken: pipe it \
             (`zstd -dc --long=31 FILE | vast-threatbus …`, with `-` for the file)"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).expect("memory does not fail");
        encoder.finish().expect("memory does not fail")
    }

    fn zstandard(text: &[u8]) -> Vec<u8> {
        compress_to_vec(text, CompressionLevel::Fastest)
    }

    fn read(stored: &[u8]) -> io::Result<(Compression, Vec<u8>)> {
        let (compression, mut reader) = decoded(stored)?;
        let mut text = Vec::new();
        reader.read_to_end(&mut text)?;
        Ok((compression, text))
    }

    #[test]
    fn every_compression_is_detected_by_content() {
        let text = b"{\"a\": 1}\n".repeat(10_000);
        for (stored, expected) in [
            (text.clone(), Compression::Plain),
            (gzip(&text), Compression::Gzip),
            (zstandard(&text), Compression::Zstandard),
        ] {
            let (compression, back) = read(&stored).expect("a good file");
            assert_eq!((compression, back.len()), (expected, text.len()));
            assert_eq!(back, text);
        }
        for short in [&b""[..], b"{", b"\x1f", b"abc"] {
            let (compression, back) = read(short).expect("a good file");
            assert_eq!((compression, &back[..]), (Compression::Plain, short));
        }
    }

    #[test]
    fn concatenated_files_are_read_to_the_end() {
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
            let cut = read(&stored[..stored.len() / 2]).expect_err("it is cut off");
            assert!(cut.to_string().ends_with("ends too early"), "{cut}");
            let garbage = [&stored[..], b"garbage"].concat();
            assert!(read(&garbage).is_err());
        }
        let garbage = read(&[&gzip(&text)[..], b"garbage"].concat()).expect_err("garbage");
        assert_eq!(
            garbage.to_string(),
            "something follows the end of the gzip data"
        );
    }

    #[test]
    fn all_that_was_decoded_before_a_cut_is_read() {
        // Blocks of 128 KiB, of which none leaves the window: compressed ones, and raw ones.
        let compressible = b"{\"a\": 1}\n".repeat(100_000);
        let mut random = 1u32;
        let raw = std::iter::repeat_with(|| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 24) as u8
        });
        for text in [compressible, raw.take(900_000).collect()] {
            let stored = zstandard(&text);
            // Cut inside of the last block, and before the checksum.
            for (end, whole) in [(20, 6 * (128 << 10)), (2, text.len())] {
                let stored = &stored[..stored.len() - end];
                let (_, mut reader) = decoded(stored).expect("memory does not fail");
                let mut back = Vec::new();
                let error = reader.read_to_end(&mut back).expect_err("it is cut off");
                assert_eq!(error.to_string(), "the Zstandard file ends too early");
                assert_eq!(back.len(), whole);
                assert!(text.starts_with(&back));
            }
        }
    }

    #[test]
    fn a_wrong_checksum_is_an_error() {
        for mut stored in [gzip(b"a\n"), zstandard(b"a\n")] {
            // The end of gzip has the length after the checksum.
            let of_checksum = stored.len() - if stored[0] == 0x1f { 5 } else { 1 };
            stored[of_checksum] ^= 1;
            assert!(read(&stored).is_err());
        }
    }

    #[test]
    fn nul_bytes_may_follow_gzip() {
        let padding = vec![0; 600_000];
        for stored in [
            [&gzip(b"a\n")[..], &padding].concat(),
            [&gzip(b"a\n")[..], &[0], &gzip(b""), &[0]].concat(),
        ] {
            assert_eq!(read(&stored).expect("a good file").1, b"a\n");
        }
    }

    #[test]
    fn a_window_that_is_too_large_is_refused_before_it_is_allocated() {
        let magic = b"\x28\xb5\x2f\xfd";
        for (header, is_refused) in [
            // 128 MiB, and an eighth more.
            (&[0x00, 17 << 3][..], false),
            (&[0x00, 17 << 3 | 1], true),
            (&[0x00, 0xff], true),
            // One segment of 128 MiB, and a byte more; with an id of a dictionary.
            (&[0xa0, 0, 0, 0, 8], false),
            (&[0xa0, 1, 0, 0, 8], true),
            (&[0xe1, 7, 1, 0, 0, 0, 1, 0, 0, 0], true),
        ] {
            let error = read(&[magic, header].concat()).expect_err("a header alone");
            assert_eq!(
                error.to_string().contains("--long=31"),
                is_refused,
                "{error}"
            );
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
