//! Number of workgroups of a dispatch.

/// Largest number of workgroups of a dispatch in one dimension: WebGPU's default. A node may allow fewer.
pub const MAX_WORKGROUPS: u32 = 65_535;

/// Workgroups in x, y and z: `8.into()`, `[8, 4].into()` or `[8, 4, 2].into()`. If one of them is 0, nothing runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Workgroups(pub [u32; 3]);

impl From<u32> for Workgroups {
    fn from(x: u32) -> Self {
        Self([x, 1, 1])
    }
}

impl From<[u32; 2]> for Workgroups {
    fn from([x, y]: [u32; 2]) -> Self {
        Self([x, y, 1])
    }
}

impl From<[u32; 3]> for Workgroups {
    fn from(sizes: [u32; 3]) -> Self {
        Self(sizes)
    }
}

/// Returns the number of workgroups of `size` invocations that covers `elements`, at most `most`. If that is too few,
/// invocations stride by the grid size.
pub(super) fn covering(elements: usize, size: u32, most: u32) -> u32 {
    u32::try_from(elements.div_ceil(size.max(1) as usize)).unwrap_or(u32::MAX).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_has_an_invocation_up_to_the_most() {
        for (elements, groups) in [(0, 0), (1, 1), (256, 1), (257, 2), (65_535 * 256, 65_535), (usize::MAX, 65_535)] {
            assert_eq!(covering(elements, 256, MAX_WORKGROUPS), groups, "{elements}");
        }
        assert_eq!(covering(1_000, 64, 4), 4);
        assert_eq!(covering(10, 0, 100), 10, "a size of 0 is not divided by");
    }

    #[test]
    fn dimensions_that_are_not_given_are_one() {
        assert_eq!(Workgroups::from(7), Workgroups([7, 1, 1]));
        assert_eq!(Workgroups::from([7, 8]), Workgroups([7, 8, 1]));
        assert_eq!(Workgroups::from([7, 8, 9]), Workgroups([7, 8, 9]));
    }
}
