//! Figures and pages from plain data: nothing here knows how a number was made.
//!
//! | file | makes |
//! |---|---|
//! | `chart` | line charts and grouped bars as SVG |
//! | `scatter` | named points with bars, of which `labels` places the names |
//! | `forest` | differences with their intervals, one below the other |
//! | `probe_table` | the table of probes as SVG |
//! | `heatmap` | a map of numbers as PNG |
//! | `html` | one page with everything embedded |
//! | `theme` | the colours of all of them, in light and in dark |

mod chart;
mod data_uri;
mod forest;
mod heatmap;
mod html;
mod labels;
mod mark;
mod probe_table;
mod scatter;
mod svg;
mod theme;

pub use chart::{Axis, BarChart, LineChart, Series};
pub use data_uri::{base64, png_bytes};
pub use forest::{ForestChart, ForestRow};
pub use heatmap::{Heatmap, heatmap};
#[cfg(test)]
pub use html::escape;
pub use html::{Page, Panel, Table, Tone};
pub use mark::Mark;
pub use probe_table::{Expected, ProbeTable, ProbeTableCell, ProbeTableRow};
pub use scatter::{Scale, ScatterChart, ScatterGroup, ScatterPoint};
pub use svg::{Svg, swatches};
