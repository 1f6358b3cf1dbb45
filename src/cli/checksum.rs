//! `tsms checksum`.
