//! The measurements as a chart: an SVG file that reads well on light and on dark pages.

use super::report::{Measured, Speed};
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 24.0;
/// Room to the right of the bars, for what they say.
const RIGHT: f64 = 200.0;
const TOP: f64 = 66.0;
const BAR: f64 = 18.0;
const GAP: f64 = 4.0;
/// Title of a test above its bars.
const TITLE: f64 = 22.0;
/// Space below a test.
const BELOW: f64 = 14.0;
const FOOT: f64 = 44.0;

/// Colours hold their contrast on white and, with the second set, on near-black.
const STYLE: &str = "
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 16px; font-weight: 600 }
  .test { font-weight: 600 }
  .faint { fill: #57606a }
  .own { fill: #0969da }
  .peer { fill: #9a6700 }
  .grid { stroke: #8c959f; stroke-opacity: .35 }
  .limit { stroke: #cf222e; stroke-width: 2 }
  .spread { stroke: #24292f; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .faint { fill: #9198a1 }
    .own { fill: #4493f8 }
    .peer { fill: #d29922 }
    .limit { stroke: #f85149 }
    .spread { stroke: #e6edf3 }
  }
";

/// One bar for us and one for the peer a test. Their length is the part of what the machine allows; where that
/// is unknown, the part of the fastest.
pub fn chart(all: &[Measured]) -> String {
    let bars = |m: &Measured| 1 + usize::from(m.peer.is_some());
    let height_of = |m: &Measured| TITLE + bars(m) as f64 * (BAR + GAP) + BELOW;
    let body: f64 = all.iter().map(height_of).sum();
    let height = TOP + body + FOOT;
    let full = WIDTH - LEFT - RIGHT;
    let lengths: Vec<Lengths> = all.iter().map(Lengths::of).collect();
    let longest = lengths.iter().map(|l| l.own.1.max(l.peer.map_or(0.0, |p| p.1))).fold(1.0, f64::max);
    let x = |length: f64| LEFT + full * length / longest;

    let mut svg = String::new();
    // Writing to a String never fails.
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = writeln!(svg, "{text}");
    };
    line(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">"
    ));
    line(format_args!("<title>Tokens a second of brooklet</title>\n<style>{STYLE}</style>"));
    if let Some(m) = all.first() {
        let head = format!("{} on {}", m.subject.model_type, m.subject.cpu_info);
        line(format_args!("<text class=\"title\" x=\"{LEFT}\" y=\"26\">{}</text>", escaped(&head)));
    }
    line(format_args!(
        "<text class=\"faint\" x=\"{LEFT}\" y=\"46\">Tokens a second; the length of a bar is the part of what the \
         machine allows.</text>"
    ));
    for quarter in 0..=4 {
        let (at, bottom) = (x(f64::from(quarter) / 4.0), TOP + body);
        line(format_args!("<path class=\"grid\" d=\"M{at:.1} {TOP}V{bottom:.1}\"/>"));
        let y = bottom + 16.0;
        let percent = 25 * quarter;
        line(format_args!(
            "<text class=\"faint\" text-anchor=\"middle\" x=\"{at:.1}\" y=\"{y:.1}\">{percent} %</text>"
        ));
    }
    let mut y = TOP;
    for (m, lengths) in all.iter().zip(&lengths) {
        let threads = if m.n_threads == 1 { "1 thread".into() } else { format!("{} threads", m.n_threads) };
        let ratio = m.peer.as_ref().map_or_else(String::new, |p| format!(": {} times llama.cpp", p.ratio));
        let (name, title_y) = (m.test.name(), y + 15.0);
        line(format_args!(
            "<text class=\"test\" x=\"{LEFT}\" y=\"{title_y:.1}\">{name}, {threads}{ratio}</text>"
        ));
        y += TITLE;
        let first = y;
        let own = Some(("own", "brooklet", &m.speed, lengths.own));
        let peer = m.peer.as_ref().zip(lengths.peer).map(|(p, at)| ("peer", "llama.cpp", &p.speed, at));
        for (class, name, speed, (from, to)) in own.into_iter().chain(peer) {
            let middle = (from + to) / 2.0;
            let (width, text_x) = (x(middle) - LEFT, x(to) + 8.0);
            let (center, text_y) = (y + BAR / 2.0, y + BAR / 2.0 + 4.5);
            line(format_args!(
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>"
            ));
            line(format_args!(
                "<path class=\"spread\" d=\"M{:.1} {center:.1}H{:.1}M{:.1} {:.1}v6M{:.1} {:.1}v6\"/>",
                x(from),
                x(to),
                x(from),
                center - 3.0,
                x(to),
                center - 3.0,
            ));
            line(format_args!("<text x=\"{text_x:.1}\" y=\"{text_y:.1}\">{name} {}</text>", speed.figure()));
            y += BAR + GAP;
        }
        if m.speed.of_limit.is_some() {
            let (at, top, bottom) = (x(1.0), first - 3.0, y - GAP + 3.0);
            line(format_args!("<path class=\"limit\" d=\"M{at:.1} {top:.1}V{bottom:.1}\"/>"));
        }
        y += BELOW;
    }
    line(format_args!(
        "<text class=\"faint\" x=\"{LEFT}\" y=\"{:.1}\">100 %: for prompts (pp) the processor's multiply-adds, for \
         generation (tg) reading the weights from memory.</text>\n</svg>",
        height - 8.0
    ));
    svg
}

/// Where the spreads of a test's bars start and end, as parts of the full width.
struct Lengths {
    own: (f64, f64),
    peer: Option<(f64, f64)>,
}

impl Lengths {
    fn of(m: &Measured) -> Lengths {
        let peer = m.peer.as_ref().map(|p| &p.speed);
        let fastest = m.speed.median_ts.max(peer.map_or(0.0, |p| p.median_ts));
        // The speed that fills the width.
        let most = m.speed.of_limit.map_or(fastest, |of| m.speed.median_ts / of);
        let span = |s: &Speed| {
            let at = |speed: f64| (speed / most).clamp(0.0, 10.0);
            (at(s.median_ts - s.spread_ts), at(s.median_ts + s.spread_ts))
        };
        Lengths { own: span(&m.speed), peer: peer.map(span) }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
