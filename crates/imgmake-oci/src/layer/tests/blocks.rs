use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const GZIP: Compression = Compression::Gzip { level: 1 };
const ZSTD: Compression = Compression::Zstd { level: 1 };

/// Files of about 64 KiB, half of them noise, by a number each.
fn tree(files: &[u32]) -> Tree {
    let content = |number: u32| {
        let mut bytes = vec![0; 40_000 + (number as usize * 7919) % 60_000];
        let mut noise = blake3::Hasher::new();
        noise.update(&number.to_le_bytes());
        noise.finalize_xof().fill(&mut bytes);
        if number.is_multiple_of(2) {
            bytes.iter_mut().for_each(|byte| *byte = b'a' + *byte % 8);
        }
        bytes
    };
    let named = files.iter().enumerate();
    named
        .map(|(at, number)| file(&format!("d/{at:04}"), &content(*number)))
        .collect()
}

struct Made {
    path: PathBuf,
    bytes: Vec<u8>,
    layer: Layer,
    blocks: Vec<Block>,
}

fn made(tree: &Tree, compression: Compression, known: &Arc<KnownBlocks>, to: &Path) -> Made {
    let known = Arc::clone(known);
    let blocks = Arc::new(LayerBlocks::new(move || Arc::clone(&known)));
    let file = std::fs::File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(to)
        .unwrap();
    let output = Output::reusing(file.try_clone().unwrap(), Arc::clone(&blocks));
    let mut writer = LayerWriter::new(output, compression).unwrap();
    for (entry, content) in tree {
        writer.append(entry, &mut content.as_slice()).unwrap();
    }
    let (layer, _) = writer.finish().unwrap();
    let (mut file, mut bytes) = (file, Vec::new());
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    Made {
        path: to.to_path_buf(),
        bytes,
        layer,
        blocks: blocks.take(),
    }
}

fn known_of(made: &Made) -> Arc<KnownBlocks> {
    let known = KnownBlocks::default();
    known.add(made.path.clone(), &made.blocks);
    Arc::new(known)
}

#[derive(Clone, Debug)]
enum Edit {
    Insert(prop::sample::Index, u32),
    Remove(prop::sample::Index),
    Replace(prop::sample::Index, u32),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<prop::sample::Index>(), 1000..2000_u32).prop_map(|(at, n)| Edit::Insert(at, n)),
        any::<prop::sample::Index>().prop_map(Edit::Remove),
        (any::<prop::sample::Index>(), 1000..2000_u32).prop_map(|(at, n)| Edit::Replace(at, n)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_layer_made_of_earlier_blocks_has_the_bytes_of_one_made_anew(
        files in proptest::collection::vec(0..1000_u32, 20..120),
        edits in proptest::collection::vec(edit(), 0..4),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let mut edited = files.clone();
        for edit in edits {
            match edit {
                Edit::Insert(at, number) => edited.insert(at.index(edited.len() + 1), number),
                Edit::Remove(at) => drop(edited.remove(at.index(edited.len()))),
                Edit::Replace(at, number) => {
                    let at = at.index(edited.len());
                    edited[at] = number;
                }
            }
        }
        let (before, after) = (tree(&files), tree(&edited));
        for compression in [GZIP, ZSTD, Compression::None] {
            let first = made(&before, compression, &Arc::default(), &at("first"));
            let again = made(&after, compression, &known_of(&first), &at("again"));
            // On a pool's only thread, and without a thought of earlier blocks.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            let cold = pool.install(|| made(&after, compression, &Arc::default(), &at("cold")));
            let (plain, layer, _) = write(&after, compression);
            prop_assert!(again.bytes == cold.bytes && cold.bytes == plain, "{compression:?}");
            prop_assert_eq!(&again.layer, &layer);
            prop_assert_eq!(&again.layer, &cold.layer);
            prop_assert_eq!(again.blocks, cold.blocks);
        }
    }
}

#[test]
fn a_changed_file_costs_the_blocks_around_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut files: Vec<u32> = (0..400).collect();
    let first = made(
        &tree(&files),
        GZIP,
        &Arc::default(),
        &directory.path().join("a"),
    );
    files[200] = 1001;
    let second = made(
        &tree(&files),
        GZIP,
        &Arc::default(),
        &directory.path().join("b"),
    );
    let fresh = second.blocks.iter().filter(|b| !first.blocks.contains(b));
    assert!(first.blocks.len() > 20 && fresh.count() <= 6);
}

#[test]
fn blocks_are_copied_as_they_were_written() {
    let directory = tempfile::tempdir().unwrap();
    let tree = tree(&(0..60).collect::<Vec<_>>());
    let first = made(&tree, GZIP, &Arc::default(), &directory.path().join("a"));
    // What stands at a block's place is believed by its sum alone: here, each has one bit more.
    let mut other = first.bytes.clone();
    let mut blocks = first.blocks.clone();
    let mut start = 0;
    for block in &mut blocks {
        let length = block.length as usize;
        // The time in a gzip header.
        other[start + 4] = 1;
        block.sum = *blake3::hash(&other[start..][..length]).as_bytes();
        start += length;
    }
    let path = directory.path().join("other");
    std::fs::write(&path, &other).unwrap();
    let known = KnownBlocks::default();
    known.add(path, &blocks);
    let copied = made(&tree, GZIP, &Arc::new(known), &directory.path().join("b"));
    assert!(copied.bytes == other);
    // Another level is other blocks.
    let level = Compression::Gzip { level: 2 };
    let anew = made(&tree, level, &known_of(&first), &directory.path().join("c"));
    assert!(anew.bytes == write(&tree, level).0);
}

#[test]
fn tables_that_lie_and_blobs_that_are_damaged_or_gone_cost_time_alone() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let tree = tree(&(0..60).collect::<Vec<_>>());
    let first = made(&tree, GZIP, &Arc::default(), &at("first"));
    let damage = |name: &str, how: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = first.bytes.clone();
        how(&mut bytes);
        std::fs::write(at(name), &bytes).unwrap();
        (at(name), first.blocks.clone())
    };
    let lie = |how: &dyn Fn(&mut Block)| {
        let mut blocks = first.blocks.clone();
        blocks.iter_mut().for_each(how);
        (first.path.clone(), blocks)
    };
    std::os::unix::fs::symlink(&first.path, at("link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("fifo"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let tables = [
        damage("flipped", &|b| {
            b.iter_mut().step_by(1000).for_each(|b| *b ^= 1)
        }),
        damage("cut off", &|b| b.truncate(b.len() / 2)),
        damage("empty", &Vec::clear),
        (at("gone"), first.blocks.clone()),
        (at("link"), first.blocks.clone()),
        (at("fifo"), first.blocks.clone()),
        (directory.path().to_path_buf(), first.blocks.clone()),
        lie(&|block| block.length = u32::MAX),
        lie(&|block| block.length = 0),
        lie(&|block| block.length += 1),
        lie(&|block| block.sum = [0; 32]),
        lie(&|block| block.key = [0; 32]),
    ];
    for (path, blocks) in tables {
        let known = KnownBlocks::default();
        known.add(path.clone(), &blocks);
        let second = made(&tree, GZIP, &Arc::new(known), &at("second"));
        assert!(second.bytes == first.bytes, "{}", path.display());
        assert_eq!(second.layer, first.layer);
        assert_eq!(second.blocks, first.blocks);
    }
}

#[test]
fn so_many_blocks_are_known_and_no_more() {
    let known = KnownBlocks::default();
    let blocks = |seed: u8| -> Vec<Block> {
        let number = |n: usize| {
            let mut key = [seed; 32];
            key[..8].copy_from_slice(&n.to_le_bytes());
            Block {
                key,
                length: 1,
                sum: key,
            }
        };
        (0..MOST_BLOCKS - 1).map(number).collect()
    };
    for seed in 1..4 {
        known.add(PathBuf::from("x"), &blocks(seed));
        assert_eq!(known.count(), MOST_BLOCKS - 1);
    }
}

#[test]
fn a_full_disk_ends_the_layer_with_its_error() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    for compression in [GZIP, Compression::None] {
        let mut writer = LayerWriter::new(full.try_clone().unwrap(), compression).unwrap();
        let noise = tree(&(0..400).map(|n| 2 * n + 1).collect::<Vec<_>>());
        let written = noise
            .iter()
            .try_for_each(|(entry, content)| writer.append(entry, &mut &content[..]).map(drop));
        let error = written
            .and_then(|()| writer.finish().map(drop))
            .unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains("cannot write the layer: No space left"),
            "{error}"
        );
    }
}
