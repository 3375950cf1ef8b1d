//! Which target depends on which, directly or not, while edges are added: a set of bits for each.
//! Every pair is found once, so that no manifest of a size that it serves is slow.

/// A graph of which everything that leads anywhere is known.
pub(super) struct Reach {
    /// 64 nodes in a word.
    words: usize,
    /// Per node: what it leads to.
    ahead: Vec<u64>,
    /// Per node: what leads to it.
    behind: Vec<u64>,
}

impl Reach {
    pub fn new(nodes: usize) -> Reach {
        let words = nodes.div_ceil(64);
        Reach {
            words,
            ahead: vec![0; words * nodes],
            behind: vec![0; words * nodes],
        }
    }

    pub fn leads(&self, from: usize, to: usize) -> bool {
        has(self.row(&self.ahead, from), to)
    }

    pub fn add(&mut self, from: usize, to: usize) {
        if self.leads(from, to) {
            return;
        }
        let ahead = with(self.row(&self.ahead, to), to);
        let behind = with(self.row(&self.behind, from), from);
        // Whoever leads on to it already gains nothing.
        let gaining = without(&behind, self.row(&self.behind, to));
        let gained = without(&ahead, self.row(&self.ahead, from));
        for node in nodes(&gaining) {
            join(&mut self.ahead[node * self.words..][..self.words], &ahead);
        }
        for node in nodes(&gained) {
            join(&mut self.behind[node * self.words..][..self.words], &behind);
        }
    }

    fn row<'a>(&self, bits: &'a [u64], node: usize) -> &'a [u64] {
        &bits[node * self.words..][..self.words]
    }
}

fn has(row: &[u64], node: usize) -> bool {
    row[node / 64] >> (node % 64) & 1 == 1
}

fn with(row: &[u64], node: usize) -> Vec<u64> {
    let mut row = row.to_vec();
    row[node / 64] |= 1 << (node % 64);
    row
}

fn without(row: &[u64], other: &[u64]) -> Vec<u64> {
    row.iter().zip(other).map(|(one, two)| one & !two).collect()
}

fn join(row: &mut [u64], other: &[u64]) {
    for (one, two) in row.iter_mut().zip(other) {
        *one |= two;
    }
}

fn nodes(row: &[u64]) -> impl Iterator<Item = usize> {
    let bits = |(at, word): (usize, &u64)| {
        let word = *word;
        (0..64)
            .filter(move |bit| word >> bit & 1 == 1)
            .map(move |bit| at * 64 + bit)
    };
    row.iter().enumerate().flat_map(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_leads_where_is_what_a_walk_finds(
            edges in proptest::collection::vec((0usize..70, 0usize..70), 0..120),
        ) {
            let mut reach = Reach::new(70);
            for (from, to) in &edges {
                reach.add(*from, *to);
            }
            for start in 0..70 {
                let mut seen = [false; 70];
                let mut todo = vec![start];
                while let Some(at) = todo.pop() {
                    for (_, to) in edges.iter().filter(|(from, _)| *from == at) {
                        if !std::mem::replace(&mut seen[*to], true) {
                            todo.push(*to);
                        }
                    }
                }
                for (node, is_seen) in seen.into_iter().enumerate() {
                    proptest::prop_assert_eq!(reach.leads(start, node), is_seen);
                }
            }
        }
    }
}
