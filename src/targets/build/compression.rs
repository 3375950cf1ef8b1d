//! How new layers are compressed.

use super::super::task::BuildTask;
use imgmake_core::execute::Failure;
use imgmake_oci::layer::Compression;

pub(super) fn compression(task: &BuildTask<'_>) -> Result<Compression, Failure> {
    let level = task.target.compression_level;
    let Some(name) = &task.target.compression else {
        return Ok(Compression::Gzip {
            level: DEFAULT_LEVEL,
        });
    };
    let out_of_range = || {
        task.problem(
            name,
            "this level does not exist for this compression",
            "gzip has 0 to 12, zstd 1 to 22",
        )
    };
    match name.value.as_str() {
        "none" => Ok(Compression::None),
        "gzip" => Ok(Compression::Gzip {
            level: level.map_or(Ok(DEFAULT_LEVEL), |l| {
                u8::try_from(l)
                    .ok()
                    .filter(|l| *l <= 12)
                    .ok_or_else(out_of_range)
            })?,
        }),
        "zstd" => Ok(Compression::Zstd {
            level: level.map_or(Ok(3), |l| {
                i8::try_from(l)
                    .ok()
                    .filter(|l| (1..=22).contains(l))
                    .ok_or_else(out_of_range)
            })?,
        }),
        other => Err(task.problem(
            name,
            format!("invalid compression `{other}`"),
            "expected gzip, zstd or none",
        )),
    }
}

/// zlib's own default; with libdeflate it is better and faster than the peers' level.
const DEFAULT_LEVEL: u8 = 6;
