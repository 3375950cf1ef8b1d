//! Whether the disk was full, or the user's quota used up: a fact of the system's error, whatever its words.

use std::error::Error;
use std::io;

/// Of one error of a chain; what it wraps in its turn is looked at too.
pub fn is_storage_full(cause: &(dyn Error + 'static)) -> bool {
    let Some(error) = cause.downcast_ref::<io::Error>() else {
        return false;
    };
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    // `source` of an error that wraps another is that one's source, not itself.
    full.contains(&error.kind()) || error.get_ref().is_some_and(|inner| is_storage_full(inner))
}
