//! Line plots as plain SVG: panels one below the other with the same kind of x axis, from zero.

use std::fmt::Write as _;

/// A named line.
pub struct Line {
    /// Name in the legend.
    pub name: String,
    /// Points in drawing order.
    pub points: Vec<(f64, f64)>,
}

/// A plot.
pub struct Panel {
    /// Title above the plot.
    pub title: String,
    /// Label of the y axis.
    pub unit: String,
    /// Lines to draw.
    pub lines: Vec<Line>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
/// Colours, and dashes for readers who can't distinguish the colours.
const STYLES: [(&str, &str); 4] = [("#0072b2", ""), ("#d55e00", "7 3"), ("#009e73", "2 3"), ("#555555", "9 3 2 3")];

/// Returns a round step that divides an axis into about six parts.
fn tick(most: f64) -> f64 {
    let rough = (most / 6.0).max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|n| n * power).find(|step| *step >= rough).unwrap_or(10.0 * power)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// An axis from 0 to a tick at or beyond the largest value.
struct Axis {
    step: f64,
    ticks: usize,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64>, least_step: f64) -> Self {
        let most = values.fold(0.0, f64::max);
        let most = if most > 0.0 { most } else { 1.0 };
        let step = tick(most).max(least_step);
        Self { step, ticks: (most / step).ceil() as usize }
    }

    /// Returns its ticks, each with its position from 0 to 1 and its label.
    fn marks(&self) -> impl Iterator<Item = (f64, String)> {
        let digits = (-self.step.log10().floor()).max(0.0) as usize;
        (0..=self.ticks).map(move |n| (n as f64 / self.ticks as f64, format!("{:.digits$}", n as f64 * self.step)))
    }

    fn along(&self, value: f64) -> f64 {
        value / (self.step * self.ticks as f64)
    }
}

fn draw(svg: &mut String, panel: &Panel, down: f64, x_label: &str) {
    let points = || panel.lines.iter().flat_map(|line| &line.points);
    // The x values are whole numbers.
    let (x, y) = (Axis::new(points().map(|p| p.0), 1.0), Axis::new(points().map(|p| p.1), 0.0));
    let (right, top, bottom) = (WIDTH - RIGHT, down + TOP, down + HEIGHT - BOTTOM);
    let at_x = |along: f64| LEFT + along * (right - LEFT);
    let at_y = |along: f64| bottom - along * (bottom - top);
    let _ = writeln!(svg, r#"<text x="{LEFT}" y="{}" font-weight="bold">{}</text>"#, top - 14.0, escape(&panel.title));
    for (along, label) in y.marks() {
        let at = at_y(along);
        let _ = writeln!(svg, r##"<path d="M{LEFT} {at:.1}H{right}" stroke="#dddddd"/>"##);
        let _ = writeln!(svg, r#"<text x="{}" y="{:.1}" text-anchor="end">{label}</text>"#, LEFT - 8.0, at + 4.0);
    }
    for (along, label) in x.marks() {
        let at = at_x(along);
        let _ = writeln!(svg, r##"<path d="M{at:.1} {bottom}v5" stroke="#333333"/>"##);
        let _ = writeln!(svg, r#"<text x="{at:.1}" y="{}" text-anchor="middle">{label}</text>"#, bottom + 19.0);
    }
    let _ = writeln!(svg, r##"<path d="M{LEFT} {top}V{bottom}H{right}" fill="none" stroke="#333333"/>"##);
    let (middle, below) = (f64::midpoint(LEFT, right), bottom + 38.0);
    let _ = writeln!(svg, r#"<text x="{middle}" y="{below}" text-anchor="middle">{}</text>"#, escape(x_label));
    let (side, middle) = (LEFT - 48.0, f64::midpoint(top, bottom));
    let turned = format!(r#"transform="rotate(-90 {side} {middle})""#);
    let _ =
        writeln!(svg, r#"<text x="{side}" y="{middle}" text-anchor="middle" {turned}>{}</text>"#, escape(&panel.unit));
    for ((line, (colour, dash)), n) in panel.lines.iter().zip(STYLES.iter().cycle()).zip(0_u8..) {
        let style = format!(r#"stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}" fill="none""#);
        let joined: Vec<_> =
            line.points.iter().map(|(px, py)| format!("{:.1},{:.1}", at_x(x.along(*px)), at_y(y.along(*py)))).collect();
        let _ = writeln!(svg, r#"<polyline points="{}" {style}/>"#, joined.join(" "));
        for (px, py) in &line.points {
            let (cx, cy) = (at_x(x.along(*px)), at_y(y.along(*py)));
            let _ = writeln!(svg, r#"<circle cx="{cx:.1}" cy="{cy:.1}" r="2.5" fill="{colour}"/>"#);
        }
        let (key, row) = (right + 14.0, top + 18.0 * f64::from(n));
        let _ = writeln!(svg, r#"<path d="M{key} {row}h24" {style}/>"#);
        let _ = writeln!(svg, r#"<text x="{}" y="{}">{}</text>"#, key + 30.0, row + 4.0, escape(&line.name));
    }
}

/// Draws the panels as an SVG file.
pub fn svg(panels: &[Panel], x_label: &str) -> String {
    let height = HEIGHT * panels.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut down = 0.0;
    for panel in panels {
        draw(&mut svg, panel, down, x_label);
        down += HEIGHT;
    }
    svg.push_str("</svg>\n");
    svg
}
