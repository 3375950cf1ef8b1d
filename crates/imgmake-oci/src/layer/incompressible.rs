//! Tells bytes that deflate cannot shorten, such as archives, pictures and weights, from
//! the rest: trying takes it a hundred times longer than seeing that it is in vain.
//! The answer depends on the bytes alone, so layers stay the same everywhere.

/// Judged at once. An incompressible run begins and ends at a multiple of this within its block.
pub(super) const PIECE: usize = 64 << 10;

/// What entropy coding alone would save of it: less than this many parts of a thousand.
const SAVING: f64 = 0.004;
/// One position of 32 is sampled for repetitions; this many equal ones are chance.
const FEW_REPEATS: u32 = 8;

/// Ranges of a block and whether they are incompressible, in order, neighbors of a kind joined.
pub(super) fn runs(block: &[u8]) -> Vec<(std::ops::Range<usize>, bool)> {
    let mut runs: Vec<(std::ops::Range<usize>, bool)> = Vec::new();
    for (number, piece) in block.chunks(PIECE).enumerate() {
        let start = number * PIECE;
        // A short rest is not worth a member of its own.
        let incompressible = piece.len() == PIECE && is_incompressible(piece);
        match runs.last_mut() {
            Some((range, kind)) if *kind == incompressible => range.end += piece.len(),
            _ => runs.push((start..start + piece.len(), incompressible)),
        }
    }
    runs
}

fn is_incompressible(piece: &[u8]) -> bool {
    entropy(piece) > 8.0 * (1.0 - SAVING) && repeats(piece) <= FEW_REPEATS
}

/// Bits per byte, were every byte coded by itself.
fn entropy(piece: &[u8]) -> f64 {
    // Four counters: equal bytes in a row would wait for each other.
    let mut counts = [[0u32; 256]; 4];
    for four in piece.chunks_exact(4) {
        for (count, byte) in counts.iter_mut().zip(four) {
            count[usize::from(*byte)] += 1;
        }
    }
    let total: f64 = (piece.len() / 4 * 4) as f64;
    let mut bits = 0.0;
    for value in 0..256 {
        let count: u32 = counts.iter().map(|c| c[value]).sum();
        if count > 0 {
            let share = f64::from(count) / total;
            bits -= share * share.log2();
        }
    }
    bits
}

/// How many sampled groups of four bytes have been there before. Which are sampled is told
/// by the bytes themselves, so a repetition is met at any distance.
fn repeats(piece: &[u8]) -> u32 {
    let mut seen = [0u32; 4096];
    let mut repeated = 0;
    for four in piece.windows(4) {
        let group = u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
        let hash = group.wrapping_mul(0x9e37_79b1);
        if hash >> 27 == 0 {
            let slot = &mut seen[(hash >> 15) as usize & 4095];
            repeated += u32::from(*slot == group && group != 0);
            *slot = group;
        }
    }
    repeated
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a generator: no pattern that deflate could see.
    fn random(length: usize, mut state: u64) -> Vec<u8> {
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

    fn text(length: usize) -> Vec<u8> {
        let words = b"int main(void) { return 0; } /* nothing else */\n";
        words.iter().copied().cycle().take(length).collect()
    }

    #[test]
    fn random_bytes_and_what_was_compressed_before_are_incompressible() {
        assert!(is_incompressible(&random(PIECE, 7)));
        let source: Vec<u8> = random(4 * PIECE, 3).iter().map(|b| b & 0x1f).collect();
        let packed = liblzma::encode_all(source.as_slice(), 6).unwrap();
        assert!(is_incompressible(&packed[..PIECE]));
    }

    #[test]
    fn text_zeros_and_few_values_are_not() {
        assert!(!is_incompressible(&text(PIECE)));
        assert!(!is_incompressible(&vec![0; PIECE]));
        let hex: Vec<u8> = random(PIECE, 5)
            .iter()
            .map(|b| b"0123456789abcdef"[usize::from(b & 15)])
            .collect();
        assert!(!is_incompressible(&hex));
    }

    #[test]
    fn random_bytes_that_come_again_are_not_whatever_the_distance() {
        for period in [5_003, 16 << 10, 30_001] {
            let part = random(period, 11);
            let again: Vec<u8> = part.iter().copied().cycle().take(PIECE).collect();
            assert!(!is_incompressible(&again), "period {period}");
        }
    }

    #[test]
    fn neighbors_of_a_kind_are_one_run_and_a_short_rest_is_never_incompressible() {
        let mut block = random(2 * PIECE, 1);
        block.extend(text(PIECE));
        block.extend(random(PIECE - 1, 2));
        let expected = vec![(0..2 * PIECE, true), (2 * PIECE..4 * PIECE - 1, false)];
        assert_eq!(runs(&block), expected);
        assert_eq!(runs(&[]), vec![]);
    }
}
