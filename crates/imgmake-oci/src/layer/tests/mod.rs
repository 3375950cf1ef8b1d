//! What is written is read again, by us, by the tar crate and by GNU tar; what
//! others write is read; no bytes make the reader panic.

mod blocks;
mod bounds;
mod merged;
mod others;
mod round_trip;

use std::io::Read;

use super::*;

type Tree = Vec<(Entry, Vec<u8>)>;

fn file(path: &str, content: &[u8]) -> (Entry, Vec<u8>) {
    let entry = Entry::file(path, 0o644, content.len() as u64);
    (entry, content.to_vec())
}

fn bare(entry: Entry) -> (Entry, Vec<u8>) {
    (entry, Vec::new())
}

fn write(tree: &Tree, compression: Compression) -> (Vec<u8>, Layer, Index) {
    let mut out = tempfile::tempfile().unwrap();
    let mut writer = LayerWriter::new(out.try_clone().unwrap(), compression).unwrap();
    for (entry, content) in tree {
        writer.append(entry, &mut content.as_slice()).unwrap();
    }
    let (layer, index) = writer.finish().unwrap();
    let mut bytes = Vec::new();
    std::io::Seek::rewind(&mut out).unwrap();
    out.read_to_end(&mut bytes).unwrap();
    (bytes, layer, index)
}

fn write_plain(tree: &Tree) -> Vec<u8> {
    write(tree, Compression::None).0
}

fn read(tar: &[u8]) -> crate::error::Result<Tree> {
    let mut reader = LayerReader::new(tar);
    let mut tree = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = Vec::new();
        reader.read_to_end(&mut content)?;
        tree.push((entry, content));
    }
    Ok(tree)
}

fn refusal(tar: &[u8]) -> String {
    format!("{:#}", read(tar).expect_err("must be refused"))
}
