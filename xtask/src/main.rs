//! `cargo xtask dist`: what a release consists of, in target/dist.

mod dist;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["dist"] => dist::dist(&dist::TARGETS),
        ["dist", "--target", name] => dist::dist(&[dist::target(name)?]),
        _ => bail!("expected 'cargo xtask dist', or 'cargo xtask dist --target TARGET' for one of them"),
    }
}
