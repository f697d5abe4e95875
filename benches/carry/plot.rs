//! The table as a picture: for every cell a group of bars, each as long as what a target takes beside the floor.

use std::fmt::Write as _;

/// One bar.
#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) target: &'static str,
    /// Of the floor's CPU time.
    pub(crate) ratio: f64,
    /// In microseconds.
    pub(crate) cpu: f64,
}

/// Bars of one cell.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) bars: Vec<Bar>,
}

const WIDTH: f64 = 900.0;
/// Where bars begin, and how long the longest is.
const LEFT: f64 = 150.0;
const LONGEST: f64 = 560.0;
const LINE: f64 = 20.0;
/// Told apart without red and green.
const COLORS: [&str; 6] = ["#9aa5b1", "#1f6fb2", "#7fb3d8", "#e08e2b", "#8a6bbe", "#4d9078"];

/// An SVG picture.
pub(crate) fn svg(heading: &str, groups: &[Group]) -> String {
    let ratios = groups.iter().flat_map(|group| &group.bars).map(|bar| bar.ratio);
    let scale = LONGEST / ratios.fold(1.0, f64::max);
    let mut drawn = String::new();
    let mut y = 3.0 * LINE;
    for group in groups {
        text(&mut drawn, (10.0, y), "bold", &group.title);
        for (bar, color) in group.bars.iter().zip(COLORS.iter().cycle()) {
            y += LINE;
            text(&mut drawn, (24.0, y), "normal", bar.target);
            let (top, length) = (y - 0.7 * LINE, bar.ratio * scale);
            let height = 0.8 * LINE;
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(
                drawn,
                r#"<rect x="{LEFT}" y="{top:.0}" width="{length:.1}" height="{height:.0}" fill="{color}"/>"#
            );
            let figure = format!("{:.2} × ({:.1} µs)", bar.ratio, bar.cpu);
            text(&mut drawn, (LEFT + length + 8.0, y), "normal", &figure);
        }
        y += 1.8 * LINE;
    }
    let mut picture = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0}" font-family="sans-serif" font-size="13">"#
    );
    let _ = write!(picture, "\n<rect width=\"{WIDTH}\" height=\"{y:.0}\" fill=\"#ffffff\"/>\n");
    text(&mut picture, (10.0, 1.2 * LINE), "normal", &format!("CPU time of a call beside the floor's; {heading}"));
    picture + &drawn + "</svg>\n"
}

fn text(picture: &mut String, (x, y): (f64, f64), weight: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(picture, r#"<text x="{x:.0}" y="{y:.0}" font-weight="{weight}">{text}</text>"#);
}
