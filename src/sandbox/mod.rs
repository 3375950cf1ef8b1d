//! SKELETON
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Tier {
    Root,
    Rootless,
    SingleId,
    Chroot,
}
