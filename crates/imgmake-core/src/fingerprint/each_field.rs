//! For tests of fingerprints: a field that nobody thought of does not compile.

/// Every field of a struct is named: one that counts with another value, which must change what `$key`
/// gives, and one that does not count after `ignoring`, which must not.
#[macro_export]
macro_rules! each_field {
    ($key:expr, $sample:expr, $type:ident {
        $($field:ident: $other:expr),* $(,)?
    } $(ignoring { $($silent:ident: $another:expr),* $(,)? })?) => {{
        let (key, sample) = ($key, $sample);
        // Taken apart without `..`: a new field must be named here.
        let $type { $($field: _,)* $($($silent: _,)*)? } = &sample;
        $(
            let mut changed = sample.clone();
            changed.$field = $other;
            assert_ne!(
                key(&sample), key(&changed),
                "{} counts", concat!(stringify!($type), "::", stringify!($field)),
            );
        )*
        $($(
            let mut changed = sample.clone();
            changed.$silent = $another;
            assert_eq!(
                key(&sample), key(&changed),
                "{} does not count", concat!(stringify!($type), "::", stringify!($silent)),
            );
        )*)?
    }};
}

/// No two of these values have the same fingerprint.
///
/// # Panics
/// Two of them have.
pub fn assert_all_differ<T: super::Fingerprint>(values: &[T]) {
    for (at, one) in values.iter().enumerate() {
        for (other, two) in values.iter().enumerate().skip(at + 1) {
            let same = super::fingerprint_of(one) == super::fingerprint_of(two);
            assert!(!same, "values {at} and {other} have one fingerprint");
        }
    }
}
