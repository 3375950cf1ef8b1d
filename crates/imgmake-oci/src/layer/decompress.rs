//! Streams of a packing known by its first bytes, unpacked.

use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Context, Result};

use super::bounds::{FREE_PLAIN, MOST_RATIO};
use super::header::{BLOCK, Header};
use imgmake_event::Cancelled;

/// Enough to know every packing: bzip2's magic is the longest.
const MAGIC: usize = 10;
/// An xz stream may ask for 4 GiB; `xz -9` takes 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;

/// How a stream is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Packing {
    fn name(self) -> &'static str {
        match self {
            Packing::Plain => "plain",
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
            Packing::Bzip2 => "bzip2",
            Packing::Xz => "xz",
        }
    }

    /// What the first bytes (ten are enough) say.
    pub fn of(start: &[u8]) -> Packing {
        match start {
            [0x1f, 0x8b, 8, ..] => Packing::Gzip,
            // A frame, or one to be skipped.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Packing::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Packing::Xz,
            // A block, or the end of an empty stream: `BZh` alone might be a file's name in a tar.
            [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..]
                if rest.starts_with(&[0x31, 0x41, 0x59, 0x26, 0x53, 0x59])
                    || rest.starts_with(&[0x17, 0x72, 0x45, 0x38, 0x50, 0x90]) =>
            {
                Packing::Bzip2
            }
            _ => Packing::Plain,
        }
    }
}

/// Plain bytes of a gzip (multi-member), zstd, bzip2, xz or plain stream, known by its first bytes.
pub fn decompress<'a>(mut input: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
    let mut start = Vec::with_capacity(MAGIC);
    (&mut input).take(MAGIC as u64).read_to_end(&mut start)?;
    let packing = Packing::of(&start);
    unpack(packing, Cursor::new(start).chain(input))
}

fn unpack<'a>(packing: Packing, input: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
    let packed = Arc::new(AtomicU64::new(0));
    let input = Counted {
        inner: input,
        read: packed.clone(),
    };
    let input = BufReader::with_capacity(128 << 10, input);
    let unpacked: Box<dyn Read + Send + 'a> = match packing {
        Packing::Plain => return Ok(Box::new(input)),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Packing::Zstd => {
            Box::new(zstd::stream::read::Decoder::with_buffer(input).context("cannot start zstd")?)
        }
        Packing::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Packing::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(
                XZ_MEMORY,
                liblzma::stream::CONCATENATED,
            )
            .map_err(io::Error::from)
            .context("cannot start xz")?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
    };
    Ok(Box::new(Unpacked {
        name: packing.name(),
        inner: unpacked,
        packed,
        plain: 0,
        free: FREE_PLAIN,
    }))
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Could these first 512 bytes begin a tar? Zeros alone could: an empty one.
pub fn looks_like_tar(start: &[u8]) -> bool {
    <[u8; BLOCK]>::try_from(start.get(..BLOCK).unwrap_or_default())
        .is_ok_and(|block| block == [0; BLOCK] || Header::parse(block).is_some())
}

/// The plain bytes. The decoders' errors ("corrupt deflate stream") do not say what they
/// read; here they do. Refuses what grows out of all proportion.
struct Unpacked<R> {
    name: &'static str,
    inner: R,
    packed: Arc<AtomicU64>,
    plain: u64,
    /// Bytes that are given whatever the proportion.
    free: u64,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer).map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted || Cancelled::ended(&error) {
                return error;
            }
            let cause = match error.kind() {
                io::ErrorKind::UnexpectedEof => "it is cut off".to_string(),
                _ => error.to_string(),
            };
            io::Error::new(
                error.kind(),
                format!("cannot unpack the {} stream: {cause}", self.name),
            )
        })?;
        self.plain += read as u64;
        let packed = self.packed.load(Ordering::Relaxed);
        if self.plain > self.free && self.plain / MOST_RATIO > packed {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "cannot unpack the {} stream: {packed} bytes have become {}; beyond {} bytes a stream may \
                     unpack to {MOST_RATIO} times its size",
                    self.name, self.plain, self.free
                ),
            ));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use imgmake_event::Cancel;

    fn grown(free: u64) -> io::Result<u64> {
        let packed = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
        let count = Arc::new(AtomicU64::new(0));
        let input = Counted {
            inner: &packed[..],
            read: count.clone(),
        };
        let mut plain = Unpacked {
            name: "zstd",
            inner: zstd::stream::read::Decoder::new(input).unwrap(),
            packed: count,
            plain: 0,
            free,
        };
        io::copy(&mut plain, &mut io::sink())
    }

    #[test]
    fn what_grows_out_of_proportion_is_refused_beyond_a_bound() {
        assert_eq!(grown(64 << 20).unwrap(), 64 << 20);
        let error = grown(32 << 20).unwrap_err().to_string();
        assert!(error.contains("1000 times its size"), "{error}");
    }

    #[test]
    fn members_that_hold_nothing_do_not_outlast_a_cancellation() {
        /// Empty gzip members for ever; cancelled after the first thousand reads.
        struct Empty(Cancel, usize);
        impl Read for Empty {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.1 += 1;
                if self.1 == 1000 {
                    self.0.cancel();
                }
                let member = [
                    0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                ];
                let whole = buffer.len() / member.len() * member.len();
                for (byte, of) in buffer[..whole].iter_mut().zip(member.iter().cycle()) {
                    *byte = *of;
                }
                Ok(whole.max(buffer.len().min(1)))
            }
        }
        let cancel = Cancel::default();
        let input = BufReader::with_capacity(20 * 100, Empty(cancel.clone(), 0));
        let mut plain = decompress(cancel.reader(input)).unwrap();
        let error = plain.read(&mut [0; 10]).unwrap_err();
        assert!(Cancelled::ended(&error), "{error}");
    }
}
