//! A folder listing that is read as the guest requests entries.
//!
//! WASI's own implementation reads the whole folder when it is opened. A guest controls the number of entries and of
//! open listings, so this implementation holds only a descriptor and one buffer for a folder of any size.

use rustix::fs::{AtFlags, Dir, FileType, statat};
use std::{ffi::CStr, fs::File};
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorType, DirectoryEntry, ErrorCode};

/// An open folder listing.
pub(crate) struct Listing(Dir);

fn code(error: rustix::io::Errno) -> ErrorCode {
    ErrorCode::from(&std::io::Error::from(error))
}

fn kind(of: FileType) -> DescriptorType {
    match of {
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::Fifo => DescriptorType::Fifo,
        FileType::Socket => DescriptorType::Socket,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::Unknown => DescriptorType::Unknown,
    }
}

impl Listing {
    /// Opens a listing at the first entry of a folder.
    ///
    /// # Errors
    /// The error of the operating system.
    pub(crate) fn open(folder: &File) -> Result<Self, ErrorCode> {
        Dir::read_from(folder).map(Self).map_err(code)
    }

    fn kind_of(&self, name: &CStr, known: FileType) -> Result<DescriptorType, ErrorCode> {
        if known != FileType::Unknown {
            return Ok(kind(known));
        }
        let meta = statat(self.0.fd().map_err(code)?, name, AtFlags::SYMLINK_NOFOLLOW).map_err(code)?;
        Ok(kind(FileType::from_raw_mode(meta.st_mode)))
    }

    /// Returns the next entry, or `None` at the end.
    ///
    /// # Errors
    /// `illegal-byte-sequence` if a name is not UTF-8, or the error of the operating system.
    pub(crate) fn next(&mut self) -> Result<Option<DirectoryEntry>, ErrorCode> {
        while let Some(entry) = self.0.read() {
            let entry = entry.map_err(code)?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let type_ = self.kind_of(name, entry.file_type())?;
            let name = name.to_str().map_err(|_| ErrorCode::IllegalByteSequence)?.to_owned();
            return Ok(Some(DirectoryEntry { type_, name }));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_comes_once_with_its_type() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
        let mut listing = Listing::open(&File::open(dir.path()).unwrap()).unwrap();
        let mut seen: Vec<_> = std::iter::from_fn(|| listing.next().unwrap_or_else(|e| panic!("{e:?}")))
            .map(|entry| (entry.name, entry.type_))
            .collect();
        seen.sort_by(|a, b| a.0.cmp(&b.0));
        let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["file", "folder", "link"]);
        let kinds = seen.iter().map(|(_, kind)| *kind);
        let expected = [DescriptorType::RegularFile, DescriptorType::Directory, DescriptorType::SymbolicLink];
        assert!(
            kinds
                .zip(expected)
                .all(|(kind, expected)| std::mem::discriminant(&kind) == std::mem::discriminant(&expected))
        );
    }
}
