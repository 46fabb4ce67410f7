//! An image with the program alone, as an archive, made without any engine: for agents on nodes of a cluster.
//!
//! The archive is both kinds that are in use: an OCI image layout (`oci-layout`, `index.json`, `blobs/`) for containerd,
//! Podman, Skopeo and registries, and a `manifest.json` for `docker load`. The same program gives the same bytes: names are
//! sorted, times are those of 1970, owners are root.
//!
//! Sources: OCI image-spec 1.0 (image-layout.md, config.md), moby's image/spec/v1.2.md, POSIX ustar.

use crate::{Outcome, shell};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A second before which no build tool is confused, and which is no time of day.
const MADE: &str = "1970-01-01T00:00:00Z";

const USAGE: &str = "cargo xtask image [--binary PATH] [-o FILE] [--tag NAME:TAG]";

/// `cargo xtask image`: builds the release program and packs it; with `--binary`, packs that one.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let mut options = BTreeMap::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value: {USAGE}"))?;
        match word.as_str() {
            "--binary" | "-o" | "--tag" => options.insert(word.as_str(), value.clone()),
            _ => return Err(format!("there is no option {word}: {USAGE}")),
        };
    }
    let version = env!("CARGO_PKG_VERSION");
    let tag = options.remove("--tag").unwrap_or_else(|| format!("squall:{version}"));
    let output =
        options.remove("-o").map_or_else(|| shell::root().join("target/squall-image.tar"), PathBuf::from);
    let binary = match options.remove("--binary") {
        Some(path) => PathBuf::from(path),
        None => crate::dist::build()?,
    };
    let architecture = architecture(&binary)?;
    let mut files = BTreeMap::from([("squall".to_owned(), read(&binary)?)]);
    let libraries = libraries(&binary)?;
    if !libraries.is_empty() {
        eprintln!(
            "image: {} is not static: its libraries are packed, too, which is good for a test on this machine and nothing \
             else",
            binary.display()
        );
    }
    for library in libraries {
        files.insert(library.to_string_lossy().trim_start_matches('/').to_owned(), read(&library)?);
    }
    let archive = archive(&files, architecture, &tag)?;
    let failed = |error: std::io::Error| format!("{}: {error}", output.display());
    let mut file = BufWriter::new(File::create(&output).map_err(failed)?);
    file.write_all(&archive).and_then(|()| file.flush()).map_err(failed)?;
    println!("{} ({:.1} MB), image {tag} for {architecture}", output.display(), archive.len() as f64 / 1e6);
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// For which processors a program is, as images call them: `e_machine` of its ELF header.
fn architecture(binary: &Path) -> Result<&'static str, String> {
    let bytes = read(binary)?;
    match (bytes.get(..4), bytes.get(18..20)) {
        (Some(b"\x7fELF"), Some([62, 0])) => Ok("amd64"),
        (Some(b"\x7fELF"), Some([183, 0])) => Ok("arm64"),
        _ => Err(format!("{} is no program for Linux on amd64 or arm64", binary.display())),
    }
}

/// What a program is linked with at its start; nothing where it is static.
fn libraries(binary: &Path) -> Result<Vec<PathBuf>, String> {
    let listed = Command::new("ldd").arg(binary).stdin(Stdio::null()).output();
    let listed = listed.map_err(|error| format!("could not run ldd: {error}"))?;
    if !listed.status.success() {
        // "not a dynamic executable"
        return Ok(Vec::new());
    }
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    Ok(text
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect())
}

/// The whole archive.
fn archive(files: &BTreeMap<String, Vec<u8>>, architecture: &str, tag: &str) -> Result<Vec<u8>, String> {
    let layer = layer(files)?;
    let layer_digest = sha256(&layer)?;
    let config = text(&json!({
        "created": MADE,
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Entrypoint": ["/squall"],
            "Labels": {
                "org.opencontainers.image.title": "squall",
                "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
                "org.opencontainers.image.licenses": "Apache-2.0",
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
        "history": [{"created": MADE, "created_by": "cargo xtask image"}],
    }));
    let config_digest = sha256(&config)?;
    let described = |kind: &str, digest: &str, size: usize| json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": format!("sha256:{digest}"), "size": size});
    let manifest = text(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("config.v1+json", &config_digest, config.len()),
        "layers": [described("layer.v1.tar", &layer_digest, layer.len())],
    }));
    let manifest_digest = sha256(&manifest)?;
    let mut entry = described("manifest.v1+json", &manifest_digest, manifest.len());
    let name = whole(tag);
    let short = tag.rsplit_once(':').map_or("latest", |(_, short)| short);
    entry["annotations"] =
        json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": short});
    entry["platform"] = json!({"architecture": architecture, "os": "linux"});
    let blob = |digest: &str| format!("blobs/sha256/{digest}");
    let docker =
        json!([{"Config": blob(&config_digest), "RepoTags": [tag], "Layers": [blob(&layer_digest)]}]);
    let mut tar = Tar::default();
    tar.folder("blobs", 0o755)?;
    tar.folder("blobs/sha256", 0o755)?;
    let blobs = BTreeMap::from([(config_digest, config), (layer_digest, layer), (manifest_digest, manifest)]);
    for (digest, bytes) in &blobs {
        tar.file(&blob(digest), 0o644, bytes)?;
    }
    tar.file("index.json", 0o644, &text(&json!({"schemaVersion": 2, "manifests": [entry]})))?;
    tar.file("manifest.json", 0o644, &text(&docker))?;
    tar.file("oci-layout", 0o644, &text(&json!({"imageLayoutVersion": "1.0.0"})))?;
    Ok(tar.end())
}

/// A name as containerd knows it: that of a registry belongs to it.
fn whole(tag: &str) -> String {
    match tag.split_once('/') {
        None => format!("docker.io/library/{tag}"),
        Some((first, _)) if first == "localhost" || first.contains(['.', ':']) => tag.to_owned(),
        Some(_) => format!("docker.io/{tag}"),
    }
}

fn text(value: &Json) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// The one layer: the files and the folders that they are in.
fn layer(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, String> {
    let mut tar = Tar::default();
    let mut made = Vec::new();
    for (name, bytes) in files {
        let folders = Path::new(name).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        let mut folders: Vec<String> = folders.map(|folder| folder.to_string_lossy().into_owned()).collect();
        folders.reverse();
        for folder in folders {
            if !made.contains(&folder) {
                tar.folder(&folder, 0o755)?;
                made.push(folder);
            }
        }
        tar.file(name, 0o755, bytes)?;
    }
    Ok(tar.end())
}

/// `sha256sum` of coreutils: a chore needs no crate for it.
fn sha256(bytes: &[u8]) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("could not run sha256sum: {error}");
    let mut command = Command::new("sha256sum");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(bytes).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    let sum = String::from_utf8_lossy(&output.stdout).into_owned();
    sum.split_whitespace().next().map(str::to_owned).ok_or_else(|| "sha256sum said nothing".to_owned())
}

/// An archive in the making.
#[derive(Default)]
struct Tar(Vec<u8>);

/// What an archive is made of.
const BLOCK: usize = 512;

impl Tar {
    fn folder(&mut self, name: &str, mode: u32) -> Outcome {
        self.entry(&format!("{name}/"), mode, b'5', &[])
    }

    fn file(&mut self, name: &str, mode: u32, bytes: &[u8]) -> Outcome {
        self.entry(name, mode, b'0', bytes)
    }

    fn entry(&mut self, name: &str, mode: u32, kind: u8, bytes: &[u8]) -> Outcome {
        let mut header = [0_u8; BLOCK];
        if name.len() > 100 {
            return Err(format!("{name} is too long a name for an archive"));
        }
        let mut put = |at: usize, field: &[u8]| header[at..at + field.len()].copy_from_slice(field);
        put(0, name.as_bytes());
        put(100, format!("{mode:07o}\0").as_bytes());
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", bytes.len()).as_bytes());
        put(136, b"00000000000\0");
        // The sum is taken with spaces in its own place.
        put(148, b"        ");
        put(156, &[kind]);
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        Ok(())
    }

    /// Two empty blocks end it.
    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_containerd_knows() {
        assert_eq!(whole("squall:1"), "docker.io/library/squall:1");
        assert_eq!(whole("lab/squall:1"), "docker.io/lab/squall:1");
        assert_eq!(whole("registry.example:5000/squall:1"), "registry.example:5000/squall:1");
    }

    #[test]
    fn the_same_program_gives_the_same_archive_that_tar_can_read() {
        let files = BTreeMap::from([
            ("squall".to_owned(), b"program".to_vec()),
            ("lib/x86/libc.so".to_owned(), vec![7; 1000]),
        ]);
        let made = || archive(&files, "amd64", "squall:1").unwrap();
        let bytes = made();
        assert_eq!(bytes, made());
        let file = std::env::temp_dir().join(format!("squall-image-{}.tar", std::process::id()));
        std::fs::write(&file, &bytes).unwrap();
        let listed = Command::new("tar").arg("-tf").arg(&file).output().unwrap();
        let manifest = Command::new("tar").arg("-xOf").arg(&file).arg("manifest.json").output().unwrap();
        std::fs::remove_file(&file).unwrap();
        let names = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        assert!(
            ["index.json", "manifest.json", "oci-layout"].iter().all(|name| names.contains(name)),
            "{names}"
        );
        let manifest: Json = serde_json::from_slice(&manifest.stdout).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "squall:1");
        let layer = manifest[0]["Layers"][0].as_str().unwrap();
        assert!(names.lines().any(|name| name == layer), "{names}");
    }
}
