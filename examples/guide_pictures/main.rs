//! Draws the pictures of `docs/guide` into `docs/guide/pictures`, or into the folder that is named.
//!
//! `cargo run --release --example guide_pictures`

mod pictures;

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let home = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide/pictures");
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| home.to_owned()));
    std::fs::create_dir_all(&folder)?;
    for (name, picture) in pictures::all() {
        std::fs::write(folder.join(name), picture)?;
        println!("{}", folder.join(name).display());
    }
    Ok(())
}
