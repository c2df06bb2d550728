//! The dashboard: in a real browser against real nodes (the stories are in `js/e2e`), and a look at its source for
//! ways by which a remote's text could become markup.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn cli() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Names the directory of the pictures: beside what else the build makes, or where CI collects them.
fn artifacts() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_peerkit"));
    let target = program.ancestors().nth(2).unwrap().join("e2e");
    env::var_os("CI_ARTIFACTS").map_or(target, PathBuf::from)
}

#[test]
fn the_dashboard_shows_and_moves_real_peers_in_a_real_browser() {
    let tools = cli().join("tests/js/node_modules/playwright-core");
    assert!(tools.exists(), "the browser's driver isn't installed: run `make js-tools`");
    let told = Command::new("node")
        .arg(cli().join("tests/js/e2e/main.mjs"))
        .env("PEERKIT_BIN", env!("CARGO_BIN_EXE_peerkit"))
        .env("E2E_ARTIFACTS", artifacts())
        .output()
        .unwrap();
    let story = String::from_utf8_lossy(&told.stdout);
    let complaints = String::from_utf8_lossy(&told.stderr);
    println!("{story}{complaints}");
    assert!(told.status.success(), "{story}{complaints}");
}

#[test]
fn no_text_has_a_way_into_the_pages_markup() {
    const WAYS: &[&str] = &[
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "setHTML",
        "createContextualFragment",
        "DOMParser",
        "document.write",
        "srcdoc",
        "eval(",
        "new Function",
        "javascript:",
        "EventSource(",
        "localStorage",
        "document.cookie",
    ];
    let source = cli().join("dashboard/src");
    let files = fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
    assert!(files.len() > 10, "the source is where it was");
    let built = ["app.js", "index.html"].map(|name| cli().join("assets").join(name));
    for file in files.iter().chain(&built) {
        let text = fs::read_to_string(file).unwrap();
        for way in WAYS {
            assert!(!text.contains(way), "{} has {way}", file.display());
        }
    }
    // Nor is anything loaded from elsewhere.
    let page = fs::read_to_string(&built[1]).unwrap();
    assert!(!page.contains("://") && !page.contains("style=\"") && !page.contains("<script>"));
}
