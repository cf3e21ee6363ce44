//! floe-etcd
