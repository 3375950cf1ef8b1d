//! Streams of a packing known by its first bytes, unpacked.

use std::io::{self, BufReader, Cursor, Read};

use anyhow::{Context, Result};

use super::header::{BLOCK, Header};

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
    let input = BufReader::with_capacity(128 << 10, input);
    Ok(match packing {
        Packing::Plain => Box::new(input),
        Packing::Gzip => Box::new(Named("gzip", flate2::bufread::MultiGzDecoder::new(input))),
        Packing::Zstd => Box::new(Named(
            "zstd",
            zstd::stream::read::Decoder::with_buffer(input).context("cannot start zstd")?,
        )),
        Packing::Bzip2 => Box::new(Named("bzip2", bzip2::bufread::MultiBzDecoder::new(input))),
        Packing::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(
                XZ_MEMORY,
                liblzma::stream::CONCATENATED,
            )
            .context("cannot start xz")?;
            Box::new(Named(
                "xz",
                liblzma::bufread::XzDecoder::new_stream(input, stream),
            ))
        }
    })
}

/// Could these first 512 bytes begin a tar? Zeros alone could: an empty one.
pub fn looks_like_tar(start: &[u8]) -> bool {
    <[u8; BLOCK]>::try_from(start.get(..BLOCK).unwrap_or_default())
        .is_ok_and(|block| block == [0; BLOCK] || Header::parse(block).is_some())
}

/// The decoders' errors ("corrupt deflate stream") do not say what they read.
struct Named<R>(&'static str, R);

impl<R: Read> Read for Named<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => {
                let cause = match kind {
                    io::ErrorKind::UnexpectedEof => "it is cut off".to_string(),
                    _ => error.to_string(),
                };
                io::Error::new(
                    kind,
                    format!("cannot unpack the {} stream: {cause}", self.0),
                )
            }
        })
    }
}
