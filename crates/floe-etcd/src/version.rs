//! Which etcd this server says it is. Kubernetes and kubeadm decide by it which features to use, so it must be a bare
//! version of an etcd whose whole behaviour is here: 3.7 is the first with `RangeStream`.

/// The server's version.
pub const SERVER: &str = "3.7.0";
/// The version that all members of the cluster have in common.
pub const CLUSTER: &str = "3.7.0";
/// The version of the store's contents.
pub const STORAGE: &str = "3.7.0";
