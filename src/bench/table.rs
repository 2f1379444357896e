//! The report for a person: a table in Markdown that also reads well in a terminal.

use serde_json::Value;

use super::cost::PhaseCost;
use super::machine::Machine;

const HEAD: [&str; 9] =
    ["workload", "phase", "median ms", "CPU ms", "GFLOP/s", "of peak", "bound ms", "of bound", "peak MB"];
/// The same for a device: its own clock's time, and its own memory.
const DEVICE_HEAD: [&str; 9] = [
    "workload",
    "phase",
    "median ms",
    "kernels ms",
    "GFLOP/s",
    "of peak",
    "bound ms",
    "of bound",
    "device MB",
];

fn head(machine: &Machine) -> [&'static str; 9] {
    if machine.is_device { DEVICE_HEAD } else { HEAD }
}

/// What the machine can do, in one line.
pub fn describe(machine: &Machine) -> String {
    let size = |bytes: usize| match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        mebibytes => format!("{mebibytes} MiB"),
    };
    let triad: Vec<String> =
        machine.triad.iter().map(|t| format!("{:.0} GB/s on {}", t.gbytes, size(t.bytes))).collect();
    let unit = if machine.is_device { "compute unit" } else { "thread" };
    format!(
        "Machine, {} {unit}{}, {}: {:.0} GFLOP/s of multiply-adds, {:.1} G exponentials/s, triad {}",
        machine.threads,
        if machine.threads == 1 { "" } else { "s" },
        machine.simd,
        machine.fma_gflops,
        machine.gexps,
        triad.join(", ")
    )
}

/// One row for each line of JSON, columns aligned.
pub fn markdown(lines: &[Value], machine: &Machine) -> String {
    let rows: Vec<Vec<String>> = lines.iter().map(|line| cells(line, machine)).collect();
    let head = head(machine);
    let width = |column: usize| {
        let cells = rows.iter().filter(|row| row.len() > column).map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 | 1 => format!(" {cell:width$} |"),
            _ => format!(" {cell:>width$} |"),
        });
        std::iter::once("|".to_owned()).chain(cells).collect::<String>()
    };
    let rule = widths.iter().enumerate().map(|(column, &width)| match column {
        0 | 1 => format!("{}|", "-".repeat(width + 2)),
        _ => format!("{}:|", "-".repeat(width + 1)),
    });
    let head = head.map(str::to_owned);
    let mut text = vec![line(&head), std::iter::once("|".to_owned()).chain(rule).collect()];
    text.extend(rows.iter().map(|row| line(row)));
    text.join("\n")
}

fn cells(line: &Value, machine: &Machine) -> Vec<String> {
    let name = |field: &str| line[field].as_str().unwrap_or("-").to_owned();
    let number = |field: &str| line[field].as_f64();
    let show = |value: Option<f64>, unit: &str| value.map_or("-".into(), |value| three_digits(value) + unit);
    let mut row = vec![name("workload"), name("phase")];
    if line.get("error").is_some() {
        row.push("failed".into());
        return row;
    }
    let cost = PhaseCost {
        flops: number("flops").unwrap_or(0.0),
        exps: number("exps").unwrap_or(0.0),
        bytes: number("bytes").unwrap_or(0.0),
    };
    let bound = machine.bound_ms(&cost);
    // One thread: processor time, which other processes disturb less.
    let fastest = if machine.threads == 1 && !machine.is_device { number("cpu_min_ms") } else { None }
        .or(number("min_ms"));
    let (busy, memory) = match machine.is_device {
        true => (line["device"]["kernels_ms"].as_f64(), line["device"]["peak_mb"].as_f64()),
        false => (number("cpu_ms"), number("peak_delta_mb")),
    };
    row.extend([
        show(number("median_ms"), ""),
        show(busy, ""),
        show(number("gflops"), ""),
        show(number("gflops").map(|rate| 100.0 * rate / machine.fma_gflops), " %"),
        show(Some(bound), ""),
        show(fastest.map(|fastest| 100.0 * bound / fastest), " %"),
        show(memory, ""),
    ]);
    row
}

/// A number to three digits, without an exponent.
fn three_digits(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::machine::Triad;
    use super::*;

    #[test]
    fn a_row_that_ran_and_one_that_did_not() {
        let machine = Machine {
            threads: 1,
            simd: "avx2".into(),
            is_device: false,
            fma_gflops: 100.0,
            gexps: 2.0,
            triad: vec![Triad { bytes: 192 << 20, gbytes: 20.0 }],
        };
        let ran = json!({
            "workload": "gemm", "phase": "fwd", "median_ms": 4.5, "min_ms": 3.0, "cpu_ms": 4.2, "cpu_min_ms": 4.0,
            "gflops": 50.0, "peak_delta_mb": 12.345, "flops": 2e8, "exps": 0, "bytes": 1e6,
        });
        let failed = json!({ "workload": "odd", "phase": null, "error": "field heads: ..." });
        let device = Machine { simd: "a GPU".into(), is_device: true, ..machine.clone() };
        let mut on_device = ran.clone();
        on_device["device"] = json!({ "kernels_ms": 3.5, "peak_mb": 7.0 });
        let expected = "\
| workload | phase | median ms | CPU ms | GFLOP/s | of peak | bound ms | of bound | peak MB |
|----------|-------|----------:|-------:|--------:|--------:|---------:|---------:|--------:|
| gemm     | fwd   |      4.50 |   4.20 |    50.0 |  50.0 % |     2.00 |   50.0 % |    12.3 |
| odd      | -     |    failed |";
        assert_eq!(markdown(&[ran, failed], &machine), expected);
        let expected = "\
| workload | phase | median ms | kernels ms | GFLOP/s | of peak | bound ms | of bound | device MB |
|----------|-------|----------:|-----------:|--------:|--------:|---------:|---------:|----------:|
| gemm     | fwd   |      4.50 |       3.50 |    50.0 |  50.0 % |     2.00 |   66.7 % |      7.00 |";
        assert_eq!(markdown(&[on_device], &device), expected);
        assert!(describe(&device).starts_with("Machine, 1 compute unit, a GPU: "));
        let line = "Machine, 1 thread, avx2: 100 GFLOP/s of multiply-adds, 2.0 G exponentials/s, triad 20 GB/s on 192 MiB";
        assert_eq!(describe(&machine), line);
    }
}
