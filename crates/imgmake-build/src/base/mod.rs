//! Base images: what FROM names, which of them are allowed, and those that were fetched beforehand.
pub mod image;
pub mod policy;
pub mod warmed;
