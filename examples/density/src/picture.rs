//! A density as an image.

use fabric::{Error, Result};

use crate::Density;

/// Colour scale from zero to the maximum, evenly spaced with increasing brightness: readable in greyscale and with
/// colour blindness.
const COLOURS: [[u8; 3]; 6] =
    [[10, 8, 40], [66, 20, 112], [150, 36, 112], [218, 72, 72], [248, 150, 40], [252, 246, 180]];

/// Returns a PNG with one pixel per cell and y upwards.
///
/// # Errors
/// Invalid input if there is not one sum per cell of the grid, or if a sum is negative or not finite.
pub(crate) fn png(density: &Density) -> Result<Vec<u8>> {
    let (width, height) = (density.grid.x.cells, density.grid.y.cells);
    // The grid comes from the request, so it may be invalid.
    let cells = u64::from(width) * u64::from(height);
    if cells == 0 || density.sums.len() as u64 != cells {
        let sums = density.sums.len();
        return Err(Error::invalid_input(format!("{sums} sums for {width} × {height} cells; pass a job's result")));
    }
    if !density.sums.iter().all(|sum| sum.is_finite() && *sum >= 0.0) {
        return Err(Error::invalid_input("a sum is negative or not finite; pass a job's result"));
    }
    let most = density.sums.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let rows = density.sums.chunks(width as usize).rev();
    // The square root makes low densities visible.
    let pixels: Vec<u8> = rows.flatten().flat_map(|sum| colour((sum / most).sqrt())).collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(Error::failed)?;
    writer.write_image_data(&pixels).map_err(Error::failed)?;
    writer.finish().map_err(Error::failed)?;
    Ok(file)
}

/// Returns the colour of a share from 0 to 1.
fn colour(share: f32) -> [u8; 3] {
    let place = share.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f32;
    let below = (place as usize).min(COLOURS.len() - 2);
    let (Some(from), Some(to)) = (COLOURS.get(below), COLOURS.get(below + 1)) else { return [0; 3] };
    let part = place - below as f32;
    let mut mixed = *from;
    for (channel, to) in mixed.iter_mut().zip(to) {
        let from = f32::from(*channel);
        *channel = (from + (f32::from(*to) - from) * part).round() as u8;
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_begin_and_end_where_they_should_and_grow_brighter() {
        assert_eq!(colour(0.0), COLOURS[0]);
        assert_eq!(colour(1.0), COLOURS[5]);
        assert_eq!(colour(0.2), COLOURS[1]);
        let brightness = |share: usize| {
            let [r, g, b] = colour(share as f32 / 100.0).map(f32::from);
            0.299 * r + 0.587 * g + 0.114 * b
        };
        assert!((1..=100).all(|share| brightness(share) >= brightness(share - 1)));
    }
}
