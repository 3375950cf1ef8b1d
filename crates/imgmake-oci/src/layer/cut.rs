//! Where plain bytes are cut into blocks: content decides, so that a file which is changed, added or gone moves
//! only the blocks around it, and all others are as they were in the layer before.

/// No block but the last is shorter. Nothing before it is looked at.
const LEAST: usize = 768 << 10;
/// No block is longer: one in twenty has no better end.
pub(super) const MOST: usize = 1536 << 10;
/// Bytes that decide about a cut behind them.
const WINDOW: usize = 64;
/// One place in 2^18 is a cut.
const BITS: u32 = 18;

/// How long the block is that these bytes begin with. As many as a block may have, or all that are left.
pub(super) fn block_length(bytes: &[u8]) -> usize {
    let most = bytes.len().min(MOST);
    let Some(before) = bytes[..most].get(LEAST - WINDOW..) else {
        return most;
    };
    let mut hash: u64 = 0;
    for (at, byte) in before.iter().enumerate() {
        hash = (hash << 1).wrapping_add(GEAR[usize::from(*byte)]);
        if hash >> (64 - BITS) == 0 && at >= WINDOW {
            return LEAST - WINDOW + at + 1;
        }
    }
    most
}

/// A number for each byte: what stands in a window is the sum of its bytes' numbers, each shifted by its distance.
/// Other numbers are other blocks.
static GEAR: [u64; 256] = gear();

/// splitmix64.
const fn gear() -> [u64; 256] {
    let mut numbers = [0; 256];
    let mut state: u64 = 0;
    let mut at = 0;
    while at < 256 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        numbers[at] = z ^ (z >> 31);
        at += 1;
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    fn blocks(mut bytes: &[u8]) -> Vec<&[u8]> {
        let mut blocks = Vec::new();
        while !bytes.is_empty() {
            let (block, rest) = bytes.split_at(block_length(bytes));
            blocks.push(block);
            bytes = rest;
        }
        blocks
    }

    #[test]
    fn blocks_have_about_a_mebibyte_within_their_bounds() {
        let bytes = noise(64 << 20, 1);
        let blocks = blocks(&bytes);
        let (last, whole) = blocks.split_last().unwrap();
        assert!(last.len() <= MOST);
        assert!(whole.iter().all(|b| (LEAST..=MOST).contains(&b.len())));
        assert!((50..80).contains(&blocks.len()), "{}", blocks.len());
        assert!(whole.iter().filter(|b| b.len() == MOST).count() < 10);
    }

    #[test]
    fn what_is_put_in_moves_only_the_blocks_around_it() {
        let bytes = noise(48 << 20, 2);
        let before: std::collections::HashSet<_> = blocks(&bytes).into_iter().collect();
        for (at, put_in) in [(0, 512), (20 << 20, 1), (30_000_000, 700_000)] {
            let mut other = bytes.clone();
            other.splice(at..at, noise(put_in, 3));
            let after = blocks(&other);
            let fresh = after.iter().filter(|b| !before.contains(*b)).count();
            assert!(
                (1..=12).contains(&fresh),
                "{at}: {fresh} of {}",
                after.len()
            );
        }
    }

    #[test]
    fn equal_bytes_have_no_place_for_a_cut() {
        for byte in 0..=255 {
            assert_eq!(block_length(&vec![byte; 2 * MOST]), MOST, "{byte}");
        }
    }

    /// Other cuts are other digests of layers.
    #[test]
    fn cuts_are_where_they_were() {
        let bytes = noise(6 << 20, 4);
        let lengths: Vec<usize> = blocks(&bytes).into_iter().map(<[u8]>::len).collect();
        assert_eq!(
            lengths,
            [935_469, 1_074_718, 1_423_277, 791_886, 1_096_371, 969_735]
        );
    }
}
