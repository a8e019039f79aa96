//! The plot beside the tables: bars of the medians, a panel for each comparison, each with a scale of its own.

use crate::{
    measure::{BARE, MADANG, MERCURIUS, POCKETBASE},
    reads::{LIST, POST},
    results::{Results, figure, number},
    sign_in::{self, LOG_IN},
    writes::CREATE,
};

const WIDTH: f64 = 760.0;
/// Where bars begin, and how long the longest is.
const LEFT: f64 = 130.0;
const LONGEST: f64 = 530.0;
const BAR: f64 = 18.0;
const STEP: f64 = 26.0;

/// A title, what is shown of which runs.
const PANELS: [(&str, &str, u32, &str); 5] = [
    (
        "List of 20 posts, 32 connections: requests a second",
        LIST,
        32,
        figure::REQUESTS,
    ),
    (
        "List of 20 posts: CPU of the server, ms a request (less is better)",
        LIST,
        32,
        figure::CPU,
    ),
    (
        "One post with 20 comments, 32 connections: requests a second",
        POST,
        32,
        figure::REQUESTS,
    ),
    (
        "Posts created a second, 32 writers",
        CREATE,
        32,
        figure::REQUESTS,
    ),
    (
        "Log-ins a second",
        LOG_IN,
        sign_in::CONNECTIONS,
        figure::REQUESTS,
    ),
];

/// A picture that can be read on a light and on a dark page.
pub fn svg(results: &Results) -> String {
    let mut y = 10.0;
    let mut body = String::new();
    for (title, scenario, connections, figure) in PANELS {
        let bars: Vec<(&str, f64)> = [MADANG, BARE, MERCURIUS, POCKETBASE]
            .into_iter()
            .filter_map(|who| Some((who, results.median(scenario, who, connections, figure)?)))
            .collect();
        if bars.is_empty() {
            continue;
        }
        let greatest = bars
            .iter()
            .map(|bar| bar.1)
            .fold(f64::MIN_POSITIVE, f64::max);
        y += STEP;
        body += &format!("<text class=\"title\" x=\"10\" y=\"{y}\">{title}</text>\n");
        y += 10.0;
        for (who, value) in bars {
            let long = (value / greatest * LONGEST).max(1.0);
            let class = if who == MADANG { "own" } else { "other" };
            let middle = y + BAR - 5.0;
            body += &format!(
                "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{who}</text>\
                 <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{long:.1}\" height=\"{BAR}\" rx=\"2\"/>\
                 <text x=\"{:.1}\" y=\"{middle}\">{}</text>\n",
                LEFT - 8.0,
                LEFT + long + 6.0,
                number(value)
            );
            y += STEP;
        }
    }
    let height = y + 10.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"madang beside a bare handler and its peers\">\n<style>{STYLE}</style>\n{body}</svg>\n"
    )
}

const STYLE: &str = "
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.own { fill: #1a7f5a }
.other { fill: #8c959f }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .own { fill: #3fb98a } .other { fill: #6e7681 } }
";
