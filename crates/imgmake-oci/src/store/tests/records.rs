use super::*;

#[test]
fn step_records_come_back_as_they_were() {
    let (_keep, store) = store();
    assert_eq!(store.step("abc"), None);
    store.put_step("abc", b"one").unwrap();
    store.put_step("abc", b"two").unwrap();
    assert_eq!(store.step("abc").as_deref(), Some(&b"two"[..]));
}

#[test]
fn every_changed_byte_of_a_record_makes_it_no_record() {
    let (directory, store) = store();
    store.put_step("aa", b"what a step made").unwrap();
    let path = directory.path().join("store/steps/aa");
    let sound = std::fs::read(&path).unwrap();
    for at in 0..sound.len() {
        let mut changed = sound.clone();
        changed[at] ^= 4;
        std::fs::write(&path, changed).unwrap();
        assert_eq!(store.step("aa"), None, "{at}");
        std::fs::write(&path, &sound[..at]).unwrap();
        assert_eq!(store.step("aa"), None, "{at}");
    }
    std::fs::write(&path, sound).unwrap();
    assert!(store.step("aa").is_some());
}

#[test]
fn what_is_no_file_in_the_place_of_a_record_makes_nobody_wait() {
    let (directory, store) = store();
    let path = directory.path().join("store/steps/aa");
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert_eq!(store.step("aa"), None);
    store.put_step("aa", b"1").unwrap();
    assert!(store.step("aa").is_some());
}
