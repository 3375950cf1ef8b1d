//! RUN: its request and key, the helper process that runs it, and its output.
pub mod fingerprint;
pub mod mounted;
pub mod output;
pub mod prepare;
pub mod worker;
