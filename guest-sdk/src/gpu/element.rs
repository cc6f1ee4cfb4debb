//! Element types of a buffer and their bytes on the device.

use bytemuck::Pod;

/// A four-byte number type of WGSL: `f32`, `u32` or `i32`.
///
/// Numbers are little-endian on the device, as in WebAssembly.
pub trait Element: Pod + sealed::Sealed {
    /// The type's name in WGSL.
    const WGSL: &'static str;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! element {
    ($($type:ident)*) => {$(
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const WGSL: &'static str = stringify!($type);
        }
    )*};
}

element!(f32 u32 i32);

/// Size of one element, in bytes.
const ELEMENT_BYTES: u64 = 4;

/// Returns the size of `elements` elements, in bytes.
pub(super) fn bytes_of(elements: usize) -> u64 {
    (elements as u64).saturating_mul(ELEMENT_BYTES)
}

pub(super) fn to_bytes<T: Element>(values: &[T]) -> &[u8] {
    bytemuck::cast_slice(values)
}

/// Returns the elements that `bytes` encodes. The bytes need no alignment.
pub(super) fn from_bytes<T: Element>(bytes: &[u8]) -> Vec<T> {
    bytemuck::pod_collect_to_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_their_little_endian_bytes_and_come_back() {
        let floats = [1.5_f32, -0.0, f32::INFINITY, f32::MIN_POSITIVE];
        let bytes: Vec<u8> = floats.iter().flat_map(|f| f.to_le_bytes()).collect();
        assert_eq!(to_bytes(&floats), bytes);
        assert_eq!(from_bytes::<f32>(&bytes), floats);
        assert_eq!(from_bytes::<i32>(to_bytes(&[-2_i32, i32::MAX])), [-2, i32::MAX]);
        // Also from an unaligned address.
        let shifted = [&[0], to_bytes(&[7_u32, 8])].concat();
        assert_eq!(from_bytes::<u32>(&shifted[1..]), [7, 8]);
        assert!(from_bytes::<u32>(&[]).is_empty());
    }

    #[test]
    fn every_element_has_the_size_that_offsets_count_with() {
        assert_eq!([size_of::<f32>(), size_of::<u32>(), size_of::<i32>()], [ELEMENT_BYTES as usize; 3]);
        assert_eq!([f32::WGSL, u32::WGSL, i32::WGSL], ["f32", "u32", "i32"]);
    }
}
