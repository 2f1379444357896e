//! Figures and pages from plain data: nothing here knows how a number was made.
//!
//! | file | makes |
//! |---|---|
//! | `chart` | line charts and grouped bars as SVG |
//! | `probe_table` | the table of probes as SVG |
//! | `heatmap` | a map of numbers as PNG |
//! | `html` | one page with everything embedded |
//! | `theme` | the colours of all of them, in light and in dark |

mod chart;
mod data_uri;
mod heatmap;
mod html;
mod probe_table;
mod svg;
mod theme;

pub use chart::{Axis, BarChart, LineChart, Series};
pub use data_uri::png_bytes;
pub use heatmap::{Heatmap, heatmap};
pub use html::{Page, Panel, Table};
pub use probe_table::{Expected, ProbeTable, ProbeTableCell, ProbeTableRow};
pub use svg::{Svg, swatches};
