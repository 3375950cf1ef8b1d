//! COPY and ADD.

use super::*;

#[test]
fn copy_takes_all_its_flags() {
    let copy = copy(
        "COPY --from=build --chown=a:b --chmod=755 --link --parents=true --exclude=*.o --exclude=x a b /d/",
    );
    assert_eq!(copy.from.as_deref(), Some("build"));
    assert_eq!(
        (copy.chown.as_deref(), copy.chmod.as_deref()),
        (Some("a:b"), Some("755"))
    );
    assert!(copy.link && copy.parents);
    assert_eq!(copy.exclude, ["*.o", "x"]);
    assert_eq!(copy.files.paths().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(copy.files.destination, "/d/");
}

#[test]
fn add_takes_all_its_flags() {
    let Instruction::Add(add) =
        one("ADD --checksum=sha256:0 --keep-git-dir --unpack=false https://x/y /d")
    else {
        panic!("no ADD");
    };
    assert_eq!(add.checksum.as_deref(), Some("sha256:0"));
    assert_eq!(
        (add.keep_git_dir, add.unpack, add.link),
        (Some(true), Some(false), false)
    );
}

#[test]
fn json_holds_names_with_blanks() {
    let copy = copy("COPY [\"a b\", \"/c d/\"]");
    assert_eq!(
        (copy.files.form, copy.files.paths().next()),
        (ListForm::Json, Some("a b"))
    );
}

#[test]
fn several_sources_may_turn_out_to_be_one() {
    for line in [
        "COPY a b /d/",
        "COPY a b .",
        "COPY a b ./",
        "COPY a b $D",
        "COPY a b \"/d/\"",
        "COPY a /d",
        "COPY a b /d",
    ] {
        one(line);
    }
}

#[test]
fn whether_a_destination_takes_several_sources_is_seen_when_they_are_copied() {
    let file = parsed("FROM a\nCOPY a b $D\n");
    let instruction = &file.stages[0].instructions[0];
    let with = |d: &str| {
        let d = d.to_owned();
        instruction.expand(&move |_| Some(d.clone()), Escape::Backslash)
    };
    assert!(with("/d/").is_ok());
    assert!(with("/d").is_ok());
}

#[test]
fn mistakes_in_copies_are_errors() {
    for line in [
        "COPY",
        "COPY a",
        "COPY --form=x a b",
        "COPY --from=$X a b",
        "COPY --chmod=999 a b",
        "COPY --link=maybe a b",
        "COPY --chown a b",
        "COPY --from=x --from=y a b",
        "COPY http://x/y /z",
        "COPY \"a b\" /c",
        "COPY a <<EOF\nEOF",
        "ADD --from=x a b",
        "ADD --checksum=x a b /c/",
        "COPY << EOF /x\nEOF",
    ] {
        error(line);
    }
}
