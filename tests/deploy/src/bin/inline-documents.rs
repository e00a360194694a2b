//! Writes the SSM documents into the template, the installer into its document, and the template's policies into the
//! Terraform module.

use deploy::inline;
use stack::infra;
use std::path::Path;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let infra = infra();
    let (install, script) =
        (infra.join("documents/Stillframe-Install.json"), infra.join("install/install.sh"));
    let text =
        inline::install_document(&std::fs::read_to_string(&install)?, &std::fs::read_to_string(script)?)?;
    write(&install, &text)?;
    let template = infra.join("template.yaml");
    let text = inline::template(&std::fs::read_to_string(&template)?, &infra.join("documents"))?;
    write(&template, &text)?;
    for (name, policy) in inline::policies(&stack::template::Template::read(&text)?)? {
        write(&infra.join(format!("terraform/from-template/{name}.json.tftpl")), &policy)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failed> {
    if std::fs::read_to_string(path).unwrap_or_default() != text {
        std::fs::write(path, text)?;
        println!("{} is up to date now", path.display());
    }
    Ok(())
}
