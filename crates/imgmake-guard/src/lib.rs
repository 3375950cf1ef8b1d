//! Protection from what strangers wrote: bounded reads, confined paths, printable
//! texts, authenticated state, programs started with nothing but what they need.

pub mod bounded;
pub mod checkout;
pub mod confined;
pub mod excerpt;
pub mod mac;
pub mod modes;
pub mod offline;
pub mod printable;
pub mod program;
