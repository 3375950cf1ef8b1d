//! What cosign encrypts a private key with: scrypt (RFC 7914) makes a key of a password, NaCl's `secretbox`
//! (XSalsa20 and Poly1305) opens the box.
//!
//! By hand, since libraries for it are seven crates (scrypt, pbkdf2, salsa20, cipher, inout, poly1305,
//! universal-hash) for one file that its owner wrote. It only decrypts, on the owner's machine; the tests
//! have the vectors of RFC 7914, RFC 8439 and NaCl.

use std::num::NonZeroU32;

use ring::pbkdf2::{self, PBKDF2_HMAC_SHA256};

/// `salsa20_words(input, 20)`: the core with its final addition.
fn salsa20(input: &[u32; 16], rounds: usize) -> [u32; 16] {
    let mut x = *input;
    mix(&mut x, rounds);
    for (word, first) in x.iter_mut().zip(input) {
        *word = word.wrapping_add(*first);
    }
    x
}

fn mix(x: &mut [u32; 16], rounds: usize) {
    const QUARTERS: [[usize; 4]; 8] = [
        [0, 4, 8, 12],
        [5, 9, 13, 1],
        [10, 14, 2, 6],
        [15, 3, 7, 11],
        [0, 1, 2, 3],
        [5, 6, 7, 4],
        [10, 11, 8, 9],
        [15, 12, 13, 14],
    ];
    for _ in 0..rounds / 2 {
        for [a, b, c, d] in QUARTERS {
            x[b] ^= x[a].wrapping_add(x[d]).rotate_left(7);
            x[c] ^= x[b].wrapping_add(x[a]).rotate_left(9);
            x[d] ^= x[c].wrapping_add(x[b]).rotate_left(13);
            x[a] ^= x[d].wrapping_add(x[c]).rotate_left(18);
        }
    }
}

fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (word, four) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    }
    words
}

fn bytes_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The state of Salsa20: constants, a key, sixteen bytes that are a nonce and a counter.
fn state(key: &[u8; 32], middle: &[u8; 16]) -> [u32; 16] {
    const SIGMA: &[u8; 16] = b"expand 32-byte k";
    let (s, k, m) = (
        words::<4>(SIGMA),
        words::<8>(key.as_slice()),
        words::<4>(middle.as_slice()),
    );
    [
        s[0], k[0], k[1], k[2], k[3], s[1], m[0], m[1], m[2], m[3], s[2], k[4], k[5], k[6], k[7],
        s[3],
    ]
}

/// The key stream of XSalsa20, as long as asked for.
fn xsalsa20(key: &[u8; 32], nonce: &[u8; 24], length: usize) -> Vec<u8> {
    let (begin, rest) = nonce
        .split_first_chunk::<16>()
        .expect("24 are more than 16");
    let mut mixed = state(key, begin);
    mix(&mut mixed, 20);
    let derived: Vec<u32> = [0, 5, 10, 15, 6, 7, 8, 9].map(|at| mixed[at]).to_vec();
    let derived: [u8; 32] = bytes_of(&derived).try_into().expect("eight words");
    let mut stream = Vec::with_capacity(length + 64);
    let mut counter = 0u64;
    while stream.len() < length {
        let mut middle = [0; 16];
        middle[..8].copy_from_slice(rest);
        middle[8..].copy_from_slice(&counter.to_le_bytes());
        stream.extend(bytes_of(&salsa20(&state(&derived, &middle), 20)));
        counter += 1;
    }
    stream.truncate(length);
    stream
}

/// RFC 8439, 2.5, in five limbs of 26 bits.
fn poly1305(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
    const LIMB: u64 = (1 << 26) - 1;
    let limbs = |low: u64, high: u64, top: u64| {
        [
            low & LIMB,
            (low >> 26) & LIMB,
            ((low >> 52) | (high << 12)) & LIMB,
            (high >> 14) & LIMB,
            (high >> 40) | (top << 24),
        ]
    };
    let number = |bytes: &[u8]| {
        let mut all = [0; 8];
        all[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(all)
    };
    let r = limbs(
        number(&key[..8]) & 0x0fff_fffc_0fff_ffff,
        number(&key[8..16]) & 0x0fff_fffc_0fff_fffc,
        0,
    );
    let mut sum = [0u64; 5];
    for block in message.chunks(16) {
        let mut padded = [0u8; 17];
        padded[..block.len()].copy_from_slice(block);
        padded[block.len()] = 1;
        let added = limbs(
            number(&padded[..8]),
            number(&padded[8..16]),
            u64::from(padded[16]),
        );
        for (limb, more) in sum.iter_mut().zip(added) {
            *limb += more;
        }
        let mut product = [0u64; 5];
        for (i, a) in sum.iter().enumerate() {
            for (j, b) in r.iter().enumerate() {
                // 2^130 is 5.
                let factor = if i + j >= 5 { 5 } else { 1 };
                product[(i + j) % 5] += a * b * factor;
            }
        }
        let mut carry = 0;
        for limb in &mut product {
            *limb += carry;
            carry = *limb >> 26;
            *limb &= LIMB;
        }
        product[0] += carry * 5;
        product[1] += product[0] >> 26;
        product[0] &= LIMB;
        sum = product;
    }
    carry(&mut sum);
    // The smaller of the sum and the sum less the prime.
    let mut less = sum;
    less[0] += 5;
    carry_without_end(&mut less);
    if less[4] >> 26 != 0 {
        less[4] &= LIMB;
        sum = less;
    }
    let wide: u128 = sum
        .iter()
        .take(4)
        .enumerate()
        .fold(0, |all, (at, limb)| all | (u128::from(*limb) << (26 * at)))
        | (u128::from(sum[4]) << 104);
    let pad = u128::from(number(&key[16..24])) | (u128::from(number(&key[24..])) << 64);
    wide.wrapping_add(pad).to_le_bytes()
}

fn carry(limbs: &mut [u64; 5]) {
    carry_without_end(limbs);
    let over = limbs[4] >> 26;
    limbs[4] &= (1 << 26) - 1;
    limbs[0] += over * 5;
    carry_without_end(limbs);
}

fn carry_without_end(limbs: &mut [u64; 5]) {
    for at in 0..4 {
        limbs[at + 1] += limbs[at] >> 26;
        limbs[at] &= (1 << 26) - 1;
    }
}

/// Opens a box; `None` if it was made with another key, or is damaged.
pub(super) fn open(key: &[u8; 32], nonce: &[u8; 24], sealed: &[u8]) -> Option<Vec<u8>> {
    let (tag, hidden) = sealed.split_first_chunk::<16>()?;
    let stream = xsalsa20(key, nonce, 32 + hidden.len());
    let (one_time, stream) = stream.split_first_chunk::<32>()?;
    let found = poly1305(one_time, hidden);
    // Every byte is looked at, whatever the first ones are.
    let differs = found.iter().zip(tag).fold(0, |all, (a, b)| all | (a ^ b));
    let open = || hidden.iter().zip(stream).map(|(a, b)| a ^ b).collect();
    (differs == 0).then(open)
}

/// scrypt with 32 bytes of result. `n` is a power of two.
pub(super) fn scrypt(password: &[u8], salt: &[u8], n: usize, r: usize, p: usize) -> [u8; 32] {
    let once = NonZeroU32::MIN;
    let mut blocks = vec![0; 128 * r * p];
    pbkdf2::derive(PBKDF2_HMAC_SHA256, once, salt, password, &mut blocks);
    let mut table = vec![0u32; 32 * r * n];
    for block in blocks.chunks_exact_mut(128 * r) {
        let mut x: Vec<u32> = block.chunks_exact(4).map(|b| words::<1>(b)[0]).collect();
        for row in table.chunks_exact_mut(32 * r) {
            row.copy_from_slice(&x);
            x = mix_block(&x);
        }
        for _ in 0..n {
            let at = x[32 * r - 16] as usize & (n - 1);
            let row = &table[at * 32 * r..][..32 * r];
            x.iter_mut().zip(row).for_each(|(a, b)| *a ^= b);
            x = mix_block(&x);
        }
        block.copy_from_slice(&bytes_of(&x));
    }
    let mut key = [0; 32];
    pbkdf2::derive(PBKDF2_HMAC_SHA256, once, &blocks, password, &mut key);
    key
}

/// `scryptBlockMix`: even results first, odd ones after.
fn mix_block(block: &[u32]) -> Vec<u32> {
    let (all, _) = block.as_chunks::<16>();
    let mut last = all[all.len() - 1];
    let mut mixed = vec![0; block.len()];
    let half = all.len() / 2;
    for (at, one) in all.iter().enumerate() {
        last.iter_mut().zip(one).for_each(|(a, b)| *a ^= b);
        last = salsa20(&last, 8);
        let place = at / 2 + (at % 2) * half;
        mixed[place * 16..][..16].copy_from_slice(&last);
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        hex::decode(text.replace([' ', '\n'], "")).unwrap()
    }

    /// RFC 7914, section 12 (the first 32 of 64 bytes: PBKDF2 makes them block by block).
    #[test]
    fn scrypt_is_as_the_rfc_has_it() {
        let key = scrypt(b"", b"", 16, 1, 1);
        let expected = "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442";
        assert_eq!(hex::encode(key), expected);
        let key = scrypt(b"password", b"NaCl", 1024, 8, 16);
        let expected = "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162";
        assert_eq!(hex::encode(key), expected);
    }

    /// RFC 8439, section 2.5.2 and appendix A.3, whose numbers touch the prime.
    #[test]
    fn poly1305_is_as_the_rfc_has_it() {
        let vectors = [
            (
                "85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b",
                "43727970746f6772617068696320466f72756d205265736561726368204772\
                 6f7570",
                "a8061dc1305136c6c22b8baf0c0127a9",
            ),
            (
                "0200000000000000000000000000000000000000000000000000000000000000",
                "ffffffffffffffffffffffffffffffff",
                "03000000000000000000000000000000",
            ),
            (
                "02000000000000000000000000000000ffffffffffffffffffffffffffffffff",
                "02000000000000000000000000000000",
                "03000000000000000000000000000000",
            ),
            (
                "0100000000000000000000000000000000000000000000000000000000000000",
                "fffffffffffffffffffffffffffffffff0ffffffffffffffffffffffffffffff11000000000000000000000000000000",
                "05000000000000000000000000000000",
            ),
            (
                "0100000000000000000000000000000000000000000000000000000000000000",
                "fffffffffffffffffffffffffffffffffbfefefefefefefefefefefefefefefe01010101010101010101010101010101",
                "00000000000000000000000000000000",
            ),
            (
                "0200000000000000000000000000000000000000000000000000000000000000",
                "fdffffffffffffffffffffffffffffff",
                "faffffffffffffffffffffffffffffff",
            ),
        ];
        for (key, message, tag) in vectors {
            let key: [u8; 32] = unhex(key).try_into().unwrap();
            assert_eq!(hex::encode(poly1305(&key, &unhex(message))), tag);
        }
    }

    /// NaCl's `tests/secretbox.c`: its key, nonce and the begin of its box.
    #[test]
    fn a_box_is_opened_with_its_own_key_alone() {
        let key: [u8; 32] =
            unhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
                .try_into()
                .unwrap();
        let nonce: [u8; 24] = unhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
            .try_into()
            .unwrap();
        let message = unhex(
            "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffc
             e5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb31
             0e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde
             048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f93776384864
             5e0705",
        );
        let sealed = unhex(
            "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce
             48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c972
             71d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae
             90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b3
             7973f622a43d14a6599b1f654cb45a74e355a5",
        );
        assert_eq!(open(&key, &nonce, &sealed), Some(message));
        for at in [0, 20, sealed.len() - 1] {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert_eq!(open(&key, &nonce, &other), None);
        }
        assert_eq!(open(&[0; 32], &nonce, &sealed), None);
        assert_eq!(open(&key, &nonce, &sealed[..15]), None);
    }
}
