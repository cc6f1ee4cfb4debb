//! A software Vulkan driver for the tests of GPU passes: Mesa's lavapipe, which is llvmpipe behind Vulkan.

use std::path::Path;

use anyhow::{Result, bail};

use crate::outside::{apt_install, can_apt};

const PACKAGES: [&str; 2] = ["mesa-vulkan-drivers", "libvulkan1"];
/// Folders in which drivers are registered (the Vulkan loader's interface, "Driver Discovery on Linux").
const FOLDERS: [&str; 3] = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];

/// Finds or installs a driver.
pub(crate) fn driver() -> Result<()> {
    if is_there() {
        return Ok(());
    }
    let hint = format!("hint: as root: apt-get install --no-install-recommends {}", PACKAGES.join(" "));
    if !can_apt() {
        bail!("the tests of GPU passes need a software Vulkan driver\n{hint}");
    }
    apt_install(&PACKAGES)?;
    if !is_there() {
        bail!("the packages contain no software Vulkan driver\n{hint}");
    }
    Ok(())
}

fn is_there() -> bool {
    let announced = |folder: &str| {
        let files = Path::new(folder).read_dir().into_iter().flatten().flatten();
        files.into_iter().any(|file| file.file_name().to_string_lossy().starts_with("lvp_icd"))
    };
    FOLDERS.iter().any(|folder| announced(folder))
}
