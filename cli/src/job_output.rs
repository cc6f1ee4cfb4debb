//! The destination of a job's result in `fabric run`: standard output, a local file or folder, or a path in the object
//! store.

use crate::{failure::Failure, local_input};
use fabric_types::{Code, object_path::ObjectPath};
use std::path::Path;

/// The destination of a job's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutput {
    /// Standard output.
    Stdout,
    /// One local file.
    File(String),
    /// A local folder with one file per result.
    Folder(String),
    /// An object, or a prefix of objects, that the server writes.
    Stored(String),
}

impl JobOutput {
    /// Interprets `--output` and `--output-object`, at most one of which is given.
    pub fn new(output: Option<&str>, object: Option<&str>) -> Self {
        match (output, object) {
            (_, Some(path)) => Self::Stored(path.to_owned()),
            (None | Some("-"), None) => Self::Stdout,
            (Some(text), None) if text.ends_with('/') && local_input::is_explicitly_local(text) => {
                Self::Folder(text.to_owned())
            }
            (Some(text), None) if text.ends_with('/') => Self::Stored(text.to_owned()),
            (Some(text), None) => Self::File(text.to_owned()),
        }
    }

    /// Checks that a result can be written there, before a job spends anything. Leaves no files.
    ///
    /// # Errors
    /// `usage` for a contradictory destination or a local file of a detached job; `invalid-path`; `io`.
    pub fn check(&self, detach: bool) -> Result<(), Failure> {
        if detach && matches!(self, Self::File(_) | Self::Folder(_)) {
            return Err(Failure::usage("with --detach the result can't be written to a local file")
                .hint("store the result: --output PREFIX/; or fetch it later: fabric jobs result ID"));
        }
        match self {
            Self::Stdout => Ok(()),
            Self::Stored(path) => ObjectPath::new(path.trim_end_matches('/'))
                .map(drop)
                .map_err(|e| Failure::coded(Code::InvalidPath, format!("--output: {e}"))),
            Self::File(path) if path.is_empty() => {
                Err(Failure::usage("--output is empty").hint("name a file, or - for standard output"))
            }
            Self::File(path) => file_can_be_written(Path::new(path)),
            // The folder is created when the results are written.
            Self::Folder(path) => {
                let there = Path::new(path).ancestors().find(|folder| folder.exists());
                folder_is_writable(there.unwrap_or_else(|| Path::new(".")))
            }
        }
    }
}

fn file_can_be_written(file: &Path) -> Result<(), Failure> {
    if file.is_dir() {
        let path = file.display().to_string();
        return Err(Failure::usage(format!("{path} is a folder"))
            .hint(format!("for a file per result in it, write ./{}/", path.trim_start_matches("./"))));
    }
    // A device or a pipe is written in place.
    if file.exists() && !file.is_file() {
        return Ok(());
    }
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    std::fs::metadata(folder).map_err(|e| {
        Failure::io(folder.display(), e)
            .hint("create the folder first; or store the result on the server with --output-object")
    })?;
    folder_is_writable(folder)
}

fn folder_is_writable(folder: &Path) -> Result<(), Failure> {
    if !folder.is_dir() {
        return Err(Failure::usage(format!("{} is not a folder", folder.display())));
    }
    let made = tempfile::Builder::new().prefix(".fabric-").tempfile_in(folder).map(drop);
    made.map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => {
            Failure::local("io", format!("{}: permission denied", folder.display()))
        }
        _ => Failure::local("io", format!("{}: no file can be created in it", folder.display())),
    })
}

/// Describes the paths of `count` results stored at `output`, as the server names them.
pub fn stored_at(output: &str, count: u64) -> String {
    let folder = output.strip_suffix('/');
    match count {
        0 => "there are no results".to_owned(),
        1 if folder.is_none() => format!("the result is stored as {output}"),
        1 => format!("the result is stored as {}/part-00000", folder.unwrap_or(output)),
        n => {
            let folder = folder.unwrap_or(output);
            format!("{n} results are stored as {folder}/part-00000 to {folder}/part-{:05}", n - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_result_goes() {
        for (flag, expected) in [
            (None, JobOutput::Stdout),
            (Some("-"), JobOutput::Stdout),
            (Some("out.json"), JobOutput::File("out.json".into())),
            (Some("./out/"), JobOutput::Folder("./out/".into())),
            (Some("results/"), JobOutput::Stored("results/".into())),
        ] {
            assert_eq!(JobOutput::new(flag, None), expected, "{flag:?}");
        }
        let object = JobOutput::new(None, Some("results/all.json"));
        assert_eq!(object, JobOutput::Stored("results/all.json".into()));
    }

    #[test]
    fn an_output_is_checked_before_the_job_runs() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::create_dir(at("there")).unwrap();
        for good in [
            JobOutput::Stdout,
            JobOutput::File(at("new.json")),
            JobOutput::File("/dev/null".into()),
            JobOutput::Folder(at("made/")),
            JobOutput::Stored("results/".into()),
        ] {
            assert!(good.check(false).is_ok(), "{good:?}");
        }
        for (bad, words) in [
            (JobOutput::File(at("there")), "is a folder"),
            (JobOutput::File(at("missing/out.json")), "No such file"),
            (JobOutput::Folder("/dev/null/x/".into()), "is not a folder"),
            (JobOutput::File(String::new()), "is empty"),
            (JobOutput::Stored("a//b".into()), "a//b"),
        ] {
            assert!(bad.check(false).unwrap_err().message.contains(words), "{bad:?}");
        }
        assert!(JobOutput::File(at("new.json")).check(true).is_err());
        let left = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 1, "no temporary file remains, and no folder is created early");
    }

    #[test]
    fn results_are_named_as_they_are_stored() {
        assert_eq!(stored_at("a/all.json", 1), "the result is stored as a/all.json");
        assert_eq!(stored_at("a/", 1), "the result is stored as a/part-00000");
        assert_eq!(stored_at("a/", 3), "3 results are stored as a/part-00000 to a/part-00002");
        assert_eq!(stored_at("a.json", 2), "2 results are stored as a.json/part-00000 to a.json/part-00001");
    }
}
