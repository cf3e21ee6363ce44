//! floe-wal
