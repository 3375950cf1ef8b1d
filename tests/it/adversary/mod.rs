//! Who may write what, and what happens when they lie: stores, neighbors, data of strangers.

mod neighbors;
