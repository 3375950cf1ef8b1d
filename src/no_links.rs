//! Refuses symbolic links on the way to imgmake's own files in a checkout, which strangers may have written.

use std::path::Path;

use crate::exit::Exit;

/// A link on the way to a place of ours inside of a checkout could lead anywhere.
///
/// # Errors
/// There is one.
pub fn refuse_links(place: &Path, project: &Path) -> Result<(), Exit> {
    let written = std::path::absolute(place).unwrap_or(place.to_path_buf());
    for path in written.ancestors() {
        if path == project || !path.starts_with(project) {
            break;
        }
        if path.is_symlink() {
            let message = format!(
                "`{}` is a symbolic link, and imgmake does not write through symbolic links in a checkout",
                path.display()
            );
            return Err(Exit::usage(message).with_help(
                "remove it; a store may be elsewhere: name its directory with `--store` or IMGMAKE_STORE",
            ));
        }
    }
    Ok(())
}
