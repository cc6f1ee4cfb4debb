use super::*;
use fabric::{ErrorKind, testing};

const DATA: &str = include_str!("../../data/nyc-weather-2013.csv");

fn small() -> Params {
    Params { x: "a".into(), y: "b".into(), width: 40, height: 30, device: Device::Cpu, ..Params::default() }
}

fn estimated(text: &str, params: &Params) -> Result<Density> {
    estimate(Input::from_bytes(text), params.clone())
}

fn refused(params: Params) -> String {
    let error = estimated("a,b\n1,2\n", &params).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    error.message().to_owned()
}

#[test]
fn every_cell_is_the_sum_of_the_kernels_at_its_centre() {
    let points = [(10.0, 20.0), (60.5, 70.25), (-5.0, 100.0)];
    let text = points.iter().fold("a,b\n".to_owned(), |text, (x, y)| format!("{text}{x},{y}\n"));
    let params = Params { x_bandwidth: 6.0, y_bandwidth: 9.0, ..small() };
    let density = estimated(&text, &params).unwrap();
    assert_eq!((density.points, density.skipped, density.sums.len()), (3, 0, 1200));
    for (cell, sum) in density.sums.iter().enumerate() {
        let x = ((cell % 40) as f64 + 0.5) * 110.0 / 40.0;
        let y = ((cell / 40) as f64 + 0.5) * 110.0 / 30.0;
        let kernel = |(px, py): &(f64, f64)| (-((x - px) / 6.0).powi(2) / 2.0 - ((y - py) / 9.0).powi(2) / 2.0).exp();
        let expected: f64 = points.iter().map(kernel).sum();
        assert!((f64::from(*sum) - expected).abs() < 1e-5, "cell {cell}: {sum} {expected}");
    }
}

#[test]
fn a_wide_grid_has_all_of_the_mass_and_a_narrow_one_a_part() {
    let wide = Params {
        x_min: -100.0,
        x_max: 200.0,
        x_bandwidth: 5.0,
        y_min: -100.0,
        y_max: 200.0,
        y_bandwidth: 8.0,
        width: 100,
        height: 80,
        device: Device::Cpu,
        ..Params::default()
    };
    let density = estimated(DATA, &wide).unwrap();
    assert!((density.mass() - 1.0).abs() < 1e-5, "{}", density.mass());
    // Half of a kernel lies on each side of its point.
    let half = estimated("a,b\n0,55\n", &Params { x_bandwidth: 6.0, y_bandwidth: 6.0, ..small() }).unwrap();
    assert!((half.mass() - 0.5).abs() < 1e-3, "{}", half.mass());
    assert_eq!(estimated("a,b\n", &small()).unwrap().mass(), 0.0);
}

#[test]
fn missing_values_are_left_out_and_counted() {
    let text = "a,b,c\n1,2,x\nNA,2,x\n1,,x\n1e999,2,x\n3,4,NA\n";
    let density = estimated(text, &small()).unwrap();
    assert_eq!((density.points, density.skipped), (2, 3));
    let defaults = Params { device: Device::Cpu, width: 2, height: 2, ..Params::default() };
    let density = estimated(DATA, &defaults).unwrap();
    assert_eq!((density.points, density.skipped), (26_114, 1), "one reading of the year has no humidity");
}

#[test]
fn partitions_add_up_to_the_whole_in_any_grouping() {
    let (header, rows) = DATA.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().take(3000).collect();
    let part = |rows: &[&str]| format!("{header}\n{}\n", rows.join("\n"));
    let params = Params { device: Device::Cpu, width: 64, height: 48, ..Params::default() };
    let map = |text: String| testing::map(|i| estimate(i, params.clone()), text).unwrap().output;
    let partials: Vec<_> = rows.chunks(500).map(|rows| map(part(rows))).collect();
    let merged: Density = testing::reduce(merge, &partials).unwrap().json().unwrap();
    let whole = estimated(&part(&rows), &params).unwrap();
    assert_eq!((merged.points, merged.made_by.cpu), (whole.points, 6));
    assert!(merged.made_by.gpu.is_empty());
    let most = whole.sums.iter().copied().fold(0.0, f32::max);
    for (a, b) in merged.sums.iter().zip(&whole.sums) {
        assert!((a - b).abs() <= 1e-6 * most, "{a} {b}");
    }
}

#[test]
fn grids_that_differ_are_not_added() {
    let a = estimated("a,b\n1,2\n", &small()).unwrap();
    let b = estimated("a,b\n1,2\n", &Params { x_max: 100.0, ..small() }).unwrap();
    let error = merge(a, b).unwrap_err();
    assert!(error.message().contains("different grids"), "{error}");
}

#[test]
fn parameters_that_cannot_be_are_named() {
    let backwards = refused(Params { x_min: 5.0, x_max: 5.0, ..small() });
    assert_eq!(backwards, "`x_min` is 5 and `x_max` is 5; give numbers, the lower one first");
    assert!(refused(Params { y_max: f64::INFINITY, ..small() }).starts_with("`y_min` is 0 and `y_max` is inf"));
    assert!(refused(Params { y_min: f64::NAN, ..small() }).starts_with("`y_min` is NaN"));
    assert_eq!(refused(Params { x_bandwidth: 0.0, ..small() }), "`x_bandwidth` is 0; give 0.22 to 110");
    assert!(refused(Params { y_bandwidth: 111.0, ..small() }).starts_with("`y_bandwidth` is 111"));
    assert!(refused(Params { x_bandwidth: f64::NAN, ..small() }).starts_with("`x_bandwidth` is NaN"));
    assert_eq!(refused(Params { width: 1, ..small() }), "`width` is 1; give 2 to 512");
    assert_eq!(refused(Params { height: 513, ..small() }), "`height` is 513; give 2 to 512");
    assert!(refused(Params { y: "c".into(), ..small() }).contains("no column `c` in the header; it has: a, b"));
}

#[test]
fn without_a_gpu_auto_takes_the_processor_and_gpu_fails_clearly() {
    let cpu = estimated("a,b\n1,2\n", &small()).unwrap();
    let auto = estimated("a,b\n1,2\n", &Params { device: Device::Auto, ..small() }).unwrap();
    assert_eq!(auto, cpu);
    assert!(testing::take().logs.is_empty(), "this is not a failure");
    let error = estimated("a,b\n1,2\n", &Params { device: Device::Gpu, ..small() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.message().starts_with("parameter `device` is `gpu`: no GPU for this call"), "{error}");
}

#[test]
fn the_picture_has_a_pixel_for_each_cell_and_y_upwards() {
    // One point in the upper left corner.
    let density = estimated("a,b\n0,110\n", &small()).unwrap();
    let response = draw(Json(density.clone())).unwrap();
    assert_eq!(response.content_type.as_deref(), Some("image/png"));
    let mut reader = png::Decoder::new(std::io::Cursor::new(response.body)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height, pixels.len()), (40, 30, 40 * 30 * 3));
    let brightness =
        |row: usize, column: usize| pixels[(row * 40 + column) * 3..][..3].iter().map(|c| u32::from(*c)).sum::<u32>();
    assert!(brightness(0, 0) > 600 && brightness(29, 0) < 60 && brightness(0, 39) < 60);
    let wrong = draw(Json(Density { sums: vec![1.0; 3], ..density.clone() })).unwrap_err();
    assert_eq!(wrong.message(), "3 sums for 40 × 30 cells; pass a job's result");
    let wrong = draw(Json(Density { sums: vec![-1.0; 1200], ..density })).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
}
