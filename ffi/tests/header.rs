//! include/brooklet.h is what cbindgen makes of the source.

use std::path::Path;

#[test]
fn the_header_is_that_of_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is valid");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in ["failure", "options", "sampling", "model", "decoder", "session"] {
        builder = builder.with_src(root.join(format!("src/{file}.rs")));
    }
    let mut made = Vec::new();
    builder.generate().expect("the source parses").write(&mut made);
    let made = String::from_utf8(made).expect("a header is text");

    let header = root.join("include/brooklet.h");
    if std::env::var_os("BROOKLET_WRITE_HEADER").is_some() {
        std::fs::write(&header, &made).expect("the header can be written");
    }
    let found = std::fs::read_to_string(&header).unwrap_or_default();
    let differs = made.lines().zip(found.lines()).position(|(made, found)| made != found);
    assert!(
        made == found,
        "{} is not that of the source, from line {} on; to write it anew:\n  \
         BROOKLET_WRITE_HEADER=1 cargo test -p brooklet-ffi --test header",
        header.display(),
        differs.map_or(made.lines().count().min(found.lines().count()), |line| line) + 1
    );
}
