//! Memory map.
