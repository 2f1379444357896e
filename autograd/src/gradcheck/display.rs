//! The report as text, at most 25 lines of it.

use std::fmt;

use super::problem::shape_text;
use super::report::{Cell, InputReport, Report, Verdict};

const LINES: usize = 25;

/// A line, and how gladly it is given up where there are too many: 0 never.
type Line = (usize, String);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<Line> = vec![(0, self.header())];
        lines.extend(self.notes.iter().map(|note| (0, format!("  {note}"))));
        if self.verdict == Verdict::Pass {
            lines.extend(self.inputs.iter().map(|input| (1, input.passed_line())));
        } else {
            self.list_inputs(&mut lines);
        }
        self.list_laws(&mut lines);
        if let Some(test) = &self.reproduction {
            lines.push((0, "  to reproduce, paste next to cases():".into()));
            lines.extend(test.lines().map(|line| (0, format!("    {line}"))));
        }
        while lines.len() > LINES {
            let (position, _) =
                lines.iter().enumerate().rev().max_by_key(|(_, (priority, _))| *priority).expect("not empty");
            lines.remove(position);
        }
        let text: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        f.write_str(&text.join("\n"))
    }
}

impl Report {
    fn header(&self) -> String {
        let label = if self.label.is_empty() { String::new() } else { format!(" [{}]", self.label) };
        let mut header = format!("gradcheck {}{label}: {}", self.op, self.verdict);
        if let Some(shape) = &self.case_shape {
            header += &format!(", shape {shape:?}");
        }
        if let Some(shape) = &self.shrunk_from {
            header += &format!(" (shrunk from {shape:?})");
        }
        format!(
            "{header}, seed {}; tolerance {} x finite-difference error, {:e} x gradient scale",
            self.seed, self.error_multiple, self.relative
        )
    }

    /// The worst input in full, the others in a line each.
    fn list_inputs(&self, lines: &mut Vec<Line>) {
        let mut inputs: Vec<&InputReport> = self.inputs.iter().collect();
        inputs.sort_by_key(|input| std::cmp::Reverse(input.verdict));
        for (rank, input) in inputs.iter().enumerate() {
            match (input.verdict, rank) {
                (Verdict::Pass, _) => lines.push((6, input.passed_line())),
                (_, 0) => input.list_in_full(lines),
                _ => lines.push((3, input.failed_line())),
            }
        }
    }

    fn list_laws(&self, lines: &mut Vec<Line>) {
        for law in self.laws.iter().filter(|law| !law.holds) {
            lines.push((1, format!("  law broken: {}: {}", law.law.name(), law.detail)));
        }
        let held: Vec<&str> = self.laws.iter().filter(|law| law.holds).map(|law| law.law.name()).collect();
        if !held.is_empty() {
            lines.push((5, format!("  laws that hold: {}", held.join(", "))));
        }
    }
}

impl InputReport {
    fn title(&self) -> String {
        format!("  input {} {}: ", self.name, shape_text(&self.shape))
    }

    fn how(&self) -> String {
        match self.mode {
            "full" => format!("{} cells of the full Jacobian", self.cells),
            "elements" => format!("{} elements, random cotangents", self.elements),
            _ => format!("{} random projections", self.cells),
        }
    }

    fn passed_line(&self) -> String {
        let mut line = format!("{}right, {}", self.title(), self.how());
        if self.scale > 0.0 {
            line += &format!(
                ", largest error {:.1e} of the gradient scale {:.1e}",
                self.largest_error, self.scale
            );
        }
        if self.miss_probability > 0.0 {
            line += &format!(
                "; misses an error of 1 % in one element with probability < {:.0e}",
                self.miss_probability
            );
        }
        self.notes.iter().fold(line, |line, note| format!("{line}; {note}"))
    }

    fn failed_line(&self) -> String {
        let reasons: Vec<&str> = self
            .diagnoses
            .iter()
            .map(|diagnosis| diagnosis.text.as_str())
            .chain(self.notes.iter().map(String::as_str))
            .collect();
        format!("{}{}, {} {}", self.title(), self.verdict, self.extent(), reasons.join("; "))
    }

    fn extent(&self) -> String {
        match (self.elements, self.verdict) {
            (_, Verdict::Kink | Verdict::Inconclusive) => format!("({})", self.how()),
            (0, _) => format!("{} of {} random projections wrong", self.wrong_cells, self.cells),
            (elements, _) if self.mode == "full" => format!(
                "{} of {elements} elements wrong ({} of {} cells of the full Jacobian)",
                self.wrong_elements, self.wrong_cells, self.cells
            ),
            (elements, _) if elements < self.shape.iter().product() => {
                format!("{} of {elements} elements looked at are wrong", self.wrong_elements)
            }
            (elements, _) => format!("{} of {elements} elements wrong", self.wrong_elements),
        }
    }

    fn list_in_full(&self, lines: &mut Vec<Line>) {
        lines.push((
            0,
            format!(
                "{}{}, {}; gradient scale {:.2e}, largest error {} of it",
                self.title(),
                self.verdict,
                self.extent(),
                self.scale,
                relative(self.largest_error)
            ),
        ));
        for diagnosis in self.diagnoses.iter().take(3) {
            lines.push((0, format!("  diagnosis: {}", diagnosis.text)));
        }
        if self.verdict == Verdict::Fail && self.diagnoses.is_empty() {
            lines.push((1, "  diagnosis: none of the known mistakes".into()));
        }
        lines.extend(self.notes.iter().map(|note| (0, format!("  {note}"))));
        self.list_cells(lines);
        for (row, picture) in self.map.iter().enumerate() {
            let label = if row == 0 { "where" } else { "" };
            lines.push((if row == 0 { 2 } else { 4 }, format!("    {label:6} {picture}")));
        }
    }

    fn list_cells(&self, lines: &mut Vec<Line>) {
        if self.worst.is_empty() {
            return;
        }
        let column = if self.mode == "full" { "output" } else { "cotangent" };
        lines.push((
            0,
            format!("    {:14} {column:12} {:>16} {:>16} {:>10}", "index", "analytic", "numeric", "error"),
        ));
        lines.extend(self.worst.iter().map(|cell| (0, cell.line())));
    }
}

impl Cell {
    fn line(&self) -> String {
        let output = match (&self.output, self.cotangent) {
            (Some(output), _) => format!("{output:?}"),
            (None, Some(cotangent)) => format!("#{cotangent}"),
            (None, None) => String::new(),
        };
        let index = if self.index.is_empty() { "-".into() } else { format!("{:?}", self.index) };
        let mut line =
            format!("    {index:14} {output:12} {:>16} {:>16}", number(self.analytic), number(self.numeric));
        match self.one_sided {
            Some([left, right]) => {
                line += &format!("  kink: left {}, right {}", number(left), number(right));
                if let Some(side) = self.side {
                    line += &format!(", analytic = {side:?}").to_lowercase();
                }
            }
            None => line += &format!(" {:>10} FD errors", format!("{:.1e}", self.units)),
        }
        line
    }
}

fn number(value: f64) -> String {
    format!("{value:.8e}")
}

fn relative(value: f64) -> String {
    if value >= 1e-4 { format!("{:.2} %", 100.0 * value) } else { format!("{value:.1e}") }
}
