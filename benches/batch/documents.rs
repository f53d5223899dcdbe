//! What the main job is done on: a folder of packages.

use std::fs;
use std::path::Path;

/// Documents of one package.
const DOCUMENTS: usize = 9;

/// Writes packages with a manifest and documents, the same in every run.
pub fn write_documents(root: &Path, packages: usize) -> std::io::Result<()> {
    let mut dice = fastrand::Rng::with_seed(7);
    let mut words = |count: usize| -> String {
        (0..count)
            .map(|_| format!("{} ", (0..dice.usize(2..9)).map(|_| dice.lowercase()).collect::<String>()))
            .collect()
    };
    for package in 0..packages {
        let folder = root.join(format!("package-{package:03}"));
        fs::create_dir(&folder)?;
        let manifest = format!(
            "[package]\nname = \"package-{package}\"\nversion = \"1.0.{package}\"\nlicense = \"MIT\"\n\
             description = \"{}\"\n\n[dependencies]\nserde = \"1\"\nlog = {{ version = \"0.4\", optional = true }}\n",
            words(8)
        );
        fs::write(folder.join("Cargo.toml"), manifest)?;
        for document in 0..DOCUMENTS {
            let mut text = format!("# Document {document} of package {package}\n\n");
            for section in 0..6 {
                text += &format!(
                    "## Section {section}\n\n{}\n\nSee [{}](https://site.example/{section}).\n\n",
                    words(60),
                    words(2)
                );
            }
            fs::write(folder.join(format!("page-{document}.md")), text)?;
        }
    }
    Ok(())
}
