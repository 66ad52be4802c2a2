//! What commands share in talking to people: progress bars, tables, sizes.
