use super::*;

#[test]
fn ext4_spreads_what_processes_make_over_the_disk() {
    use rustix::fs::{IFlags, ioctl_getflags, statfs};
    const EXT4: i64 = 0xef53;
    let (_keep, store) = store();
    // Where deletions have just been, making files is slow; on others the wish is not heard.
    store.temporary_dir().unwrap();
    let tmp = fs::File::open(store.root().join("tmp")).unwrap();
    let is_ext4 = statfs(store.root()).unwrap().f_type == EXT4;
    let spread = ioctl_getflags(&tmp).is_ok_and(|flags| flags.contains(IFlags::TOPDIR));
    assert_eq!(spread, is_ext4);
}

#[test]
fn work_of_the_living_stays_and_work_of_the_dead_is_swept() {
    let (_keep, store) = store();
    let mine = store.temporary_dir().unwrap();
    let dead = store.root().join("tmp/4711-dead-0");
    fs::create_dir_all(dead.join("0/tree")).unwrap();
    fs::write(dead.join("lock"), "4711").unwrap();

    let second = Store::open(store.root()).unwrap();

    assert!(mine.is_dir() && !dead.exists());
    assert!(second.leftovers().is_empty());
}

#[test]
fn closing_a_store_leaves_nothing_unfinished_behind() {
    let (_keep, store) = store();
    store.temporary_dir().unwrap();
    let tmp = store.root().join("tmp");
    drop(store);
    assert_eq!(fs::read_dir(tmp).unwrap().count(), 0);
}
