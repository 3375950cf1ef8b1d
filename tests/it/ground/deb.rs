//! Debian packages made on the spot, which do what packages do when they are
//! installed: make a user, give files away, keep setuid bits, link, run `ldconfig`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use super::images::path;
use super::{run, temporary, write};

/// What a Dockerfile runs to install every package of `/debs`, and to leave nothing
/// that tells when it ran. `shadow` and the triggers heed the variable.
pub const INSTALL: &str = "export SOURCE_DATE_EPOCH=1700000000 DEBIAN_FRONTEND=noninteractive; \
    apt-get install -y --no-install-recommends /debs/*.deb && \
    rm -rf /var/log/apt /var/log/dpkg.log /var/cache/apt/*.bin /var/cache/ldconfig/aux-cache";

/// Writes `hello.deb` and `hello-data.deb`, which it depends on, into a directory.
pub fn write_packages(to: &Path) {
    fs::create_dir_all(to).unwrap();
    let data = temporary();
    control(data.path(), "hello-data", "");
    write(
        data.path(),
        "usr/share/hello/greeting",
        "hello from a package\n",
    );
    symlink("greeting", data.path().join("usr/share/hello/link")).unwrap();
    let (from, again) = ("usr/share/hello/greeting", "usr/share/hello/again");
    fs::hard_link(data.path().join(from), data.path().join(again)).unwrap();
    pack(data.path(), &to.join("hello-data.deb"));

    let hello = temporary();
    control(hello.path(), "hello", "Depends: hello-data, adduser\n");
    let program = "#!/bin/sh\ncat /usr/share/hello/greeting\n";
    executable(hello.path(), "usr/bin/hello", program, 0o755);
    executable(hello.path(), "usr/bin/hello-setuid", program, 0o6755);
    let games = hello.path().join("usr/bin/hello-setuid");
    // games:mail; the bits go with a change of owner.
    chown(&games, Some(5), Some(8)).unwrap();
    fs::set_permissions(&games, Permissions::from_mode(0o6755)).unwrap();
    write(hello.path(), "etc/hello.conf", "greeting = 1\n");
    write(hello.path(), "DEBIAN/conffiles", "/etc/hello.conf\n");
    let postinst = "#!/bin/sh\nset -e\n\
        adduser --system --group --home /var/lib/hello --quiet hello\n\
        install -d -o hello -g hello -m 2770 /var/lib/hello/private\n\
        su -s /bin/sh hello -c 'echo made > /var/lib/hello/mine'\n\
        ldconfig\n";
    executable(hello.path(), "DEBIAN/postinst", postinst, 0o755);
    pack(hello.path(), &to.join("hello.deb"));
}

fn control(root: &Path, name: &str, more: &str) {
    let text = format!(
        "Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: Tests <tests@example.org>\n\
         {more}Description: a package for tests\n"
    );
    write(root, "DEBIAN/control", text);
}

fn executable(root: &Path, name: &str, text: &str, mode: u32) {
    write(root, name, text);
    fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
}

fn pack(root: &Path, to: &Path) {
    // The same package for everybody.
    let epoch = "SOURCE_DATE_EPOCH=1600000000";
    run(
        "env",
        &[epoch, "dpkg-deb", "--build", "-Zgzip", path(root), path(to)],
    );
}
