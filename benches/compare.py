#!/usr/bin/env python3
"""Runs `termwise bench` and other programs on the same workloads, interleaved, and compares them.

    benches/compare.py --peer torch-eager='python3 my_torch.py --mode eager' --peer jax='python3 my_jax.py' \\
        --variant portable='target/release/termwise bench --simd portable' --filter 'ga1111' --rounds 3 \\
        --json comparison.json --markdown comparison.md

A peer is any program that takes `--workloads FILE --threads N --budget SECONDS [--phases A,B]` and prints one line
of JSON for each workload and phase, as `termwise bench` does. A variant is another way to run Termwise: it gets
a column, but nothing is compared with it. The file that programs are given states everything, costs included.

Programs take turns, and each round begins with another one. A time is the median over the rounds of the median
(or fastest) repetition: processor time on one thread, wall time on several. Programs are bound to processors with
`taskset` where that exists. A peer whose check sums are off by more than 2e-3 shows its time, but is not compared.
"""

import argparse
import datetime
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile

OURS = "termwise"
TOLERANCE = 2e-3


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--termwise", default="target/release/termwise bench --device cpu", metavar="COMMAND",
                        help="how Termwise is run [default: %(default)s]")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND", help="a program to compare with")
    parser.add_argument("--variant", action="append", default=[], metavar="NAME=COMMAND",
                        help="another way to run Termwise")
    parser.add_argument("--baseline", default="torch-eager", metavar="NAME",
                        help="the peer with a factor and a column of memory of its own [default: %(default)s]")
    parser.add_argument("--workloads", metavar="FILE", help="a file of workloads [default: Termwise's own]")
    parser.add_argument("--filter", metavar="REGEX", help="only workloads in whose name this is found")
    parser.add_argument("--phases", metavar="A,B", help="only these of fwd, fwdbwd, step")
    parser.add_argument("--threads", default="1,2", metavar="A,B", help="numbers of threads [default: %(default)s]")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="[default: %(default)s]")
    parser.add_argument("--budget", type=float, default=0.4, metavar="SECONDS",
                        help="for each row [default: %(default)s]")
    parser.add_argument("--repetition", choices=("median", "fastest"), default="median",
                        help="what stands for a round; the fastest suits a busy machine [default: %(default)s]")
    parser.add_argument("--cpus", metavar="A,B",
                        help="processors to run on, the first N for N threads [default: 0,1,..]")
    parser.add_argument("--by-workload", action="store_true",
                        help="take turns after each workload, not after all: slower, as programs start more often")
    parser.add_argument("--timeout", type=float, default=3600, metavar="SECONDS",
                        help="for one run of one program [default: %(default)s]")
    parser.add_argument("--json", metavar="FILE", help="where to write all figures")
    parser.add_argument("--markdown", metavar="FILE", help="where to write the tables [default: standard output]")
    options = parser.parse_args()
    options.threads = [int(count) for count in options.threads.split(",")]
    if options.rounds < 1 or min(options.threads) < 1:
        parser.error("--rounds, --threads: expected numbers above 0")
    options.programs = {OURS: shlex.split(options.termwise)}
    options.peers, options.variants = [], []
    for group, names in ((options.peer, options.peers), (options.variant, options.variants)):
        for text in group:
            name, equals, command = text.partition("=")
            if not (name and equals and command) or name in options.programs:
                parser.error(f"--peer, --variant: expected NAME=COMMAND with a name of its own, found {text!r}")
            options.programs[name] = shlex.split(command)
            names.append(name)
    return options


# ------------------------------------------------------------------------------------------------ running


def bound_to(threads, options):
    """The words that bind a program to as many processors as it has threads."""
    if not shutil.which("taskset"):
        return []
    cpus = options.cpus.split(",") if options.cpus else [str(cpu) for cpu in sorted(os.sched_getaffinity(0))]
    if len(cpus) < threads:
        raise SystemExit(f"error: --cpus: expected {threads} processors for {threads} threads, found {','.join(cpus)}")
    return ["taskset", "-c", ",".join(cpus[:threads])]


def run(command, timeout):
    """(standard output, complaint or None) of a command; what it writes to standard error only in a complaint."""
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as expired:
        output = expired.stdout or b""
        return output.decode() if isinstance(output, bytes) else output, f"took longer than {timeout:g} s"
    except OSError as error:
        return "", str(error)
    complaint = None
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        complaint = f"ended with {result.returncode}: {last}"
    return result.stdout, complaint


def workloads(options):
    """The chosen workloads with everything stated."""
    command = options.programs[OURS] + ["--print"]
    command += ["--workloads", options.workloads] if options.workloads else []
    command += ["--filter", options.filter] if options.filter else []
    output, complaint = run(command, 60)
    if complaint:
        raise SystemExit(f"error: {shlex.join(command)}: {complaint}")
    return json.loads(output)["workloads"]


def machine(threads, options, best):
    """What the machine can do, measured by Termwise: the best of all measurements, as others only disturb."""
    command = bound_to(threads, options) + options.programs[OURS] + ["--machine", "--threads", str(threads)]
    output, complaint = run(command, 60)
    if complaint:
        raise SystemExit(f"error: {shlex.join(command)}: {complaint}")
    found = json.loads(output)
    if best:
        for name in ("fma_gflops", "gexps"):
            found[name] = max(found[name], best[name])
        for new, old in zip(found["triad"], best["triad"]):
            new["gbytes"] = max(new["gbytes"], old["gbytes"])
    return found


def measure(options, chosen):
    """-> ({(threads, workload, phase): {program: [line, ..]}}, {threads: machine}, complaints)"""
    lines, machines, complaints = {}, {}, []
    names = list(options.programs)
    batches = [[workload] for workload in chosen] if options.by_workload else [chosen]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "workloads.json")
        for threads in options.threads:
            for turn in range(options.rounds):
                machines[threads] = machine(threads, options, machines.get(threads))
                for batch in batches:
                    with open(path, "w", encoding="utf-8") as file:
                        json.dump({"workloads": batch}, file)
                    for i in range(len(names)):
                        name = names[(turn + i) % len(names)]
                        progress(f"{threads} thread(s), round {turn + 1} of {options.rounds}: {name}")
                        command = bound_to(threads, options) + options.programs[name]
                        command += ["--workloads", path, "--threads", str(threads), "--budget", str(options.budget)]
                        command += ["--phases", options.phases] if options.phases else []
                        output, complaint = run(command, options.timeout)
                        found = read(output)
                        for line in found:
                            key = (threads, line.get("workload"), line.get("phase"))
                            lines.setdefault(key, {}).setdefault(name, []).append(line)
                        if complaint and not any("error" in line for line in found):
                            text = f"{name}, {threads} thread(s): {complaint}"
                            complaints += [] if text in complaints else [text]
    progress("")
    return lines, machines, complaints


def read(output):
    """The lines of JSON among what a program printed."""
    lines = []
    for line in output.splitlines():
        try:
            value = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict) and "workload" in value:
            lines.append(value)
    return lines


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------------------------ comparing


def middle(lines, field):
    """The median of a field over the rounds that have it."""
    values = [line[field] for line in lines if isinstance(line.get(field), (int, float))]
    return statistics.median(values) if values else None


def disagreement(ours, theirs):
    """The largest relative difference of two lists of check sums; what is nearly 0 beside the others counts as 0."""
    if len(ours) != len(theirs) or any(value is None for value in ours + theirs):
        return 1.0
    nothing = 1e-6 * max((abs(value) for value in ours), default=0.0)
    differences = [0.0]
    for a, b in zip(ours, theirs):
        if abs(a) > nothing or abs(b) > nothing:
            differences.append(abs(a - b) / max(abs(a), abs(b)))
    return max(differences)


def bound(cost, figures):
    """(milliseconds a row takes at least, what bounds it)."""
    compute, exps = cost["flops"] / figures["fma_gflops"] / 1e6, cost["exps"] / figures["gexps"] / 1e6
    fitting = [t for t in figures["triad"] if t["bytes"] * figures["threads"] >= cost["bytes"]]
    memory = cost["bytes"] / (fitting or figures["triad"][-1:])[0]["gbytes"] / 1e6
    reasons = {"flops": compute, "exps": exps, "bytes": memory}
    reason = "bytes" if memory > compute + exps else max(("flops", "exps"), key=reasons.get)
    return max(compute + exps, memory), reason


def compare(lines, machines, chosen, options):
    """One row for each number of threads, workload and phase."""
    rows = []
    for threads in options.threads:
        for workload in chosen:
            for phase in workload["phases"]:
                found = lines.get((threads, workload["name"], phase))
                if found:
                    rows.append(row(threads, workload, phase, found, machines[threads], options))
    one = {(r["workload"], r["phase"]): r["programs"].get(OURS, {}) for r in rows if r["threads"] == 1}
    for r in rows:
        single, several = one.get((r["workload"], r["phase"]), {}).get("ms"), r["programs"].get(OURS, {}).get("ms")
        if r["threads"] > 1 and single and several:
            r["speedup"] = single / several
    return rows


def row(threads, workload, phase, found, figures, options):
    suffix = "_fwd" if phase == "fwd" else "_fwdbwd"
    cost = {"flops": workload["flops" + suffix], "bytes": workload["bytes" + suffix]}
    cost["exps"] = workload["exps" if phase == "fwd" else "exps_fwdbwd"]
    bound_ms, reason = bound(cost, figures)
    result = dict(threads=threads, workload=workload["name"], kind=workload["kind"], phase=phase, **cost,
                  bound_ms=bound_ms, bound_by=reason, programs={})
    ours = next((line["check"] for line in found.get(OURS, []) if "check" in line), None)
    for name in options.programs:
        good = [line for line in found.get(name, []) if "error" not in line]
        errors = [line["error"] for line in found.get(name, []) if "error" in line]
        if not good:
            if errors:
                result["programs"][name] = {"error": errors[0]}
            continue
        fields = {"median": ("cpu_ms", "median_ms"), "fastest": ("cpu_min_ms", "min_ms")}[options.repetition]
        cpu, wall = (middle(good, field) for field in fields)
        by_cpu = threads == 1 and cpu is not None
        ms = cpu if by_cpu else wall
        times = [line[fields[0 if by_cpu else 1]] for line in good]
        off = disagreement(ours, good[0]["check"]) if ours is not None and name != OURS else 0.0
        result["programs"][name] = dict(
            ms=ms, cpu_ms=cpu, wall_ms=wall, rounds=len(good), slowest_round_ms=max(times), fastest_round_ms=min(times),
            peak_mb=middle(good, "peak_delta_mb"), gflops=cost["flops"] / ms / 1e6 if ms else None,
            disagreement=off, agrees=off <= TOLERANCE, version=good[0].get("version"))
    mine = result["programs"].get(OURS, {}).get("ms")
    if mine:
        result["of_bound"] = bound_ms / mine
        comparable = {name: result["programs"][name]["ms"] for name in options.peers
                      if result["programs"].get(name, {}).get("agrees")}
        result["factors"] = {name: ms / mine for name, ms in comparable.items()}
        if comparable:
            result["fastest_peer"] = min(comparable, key=comparable.get)
            result["factor_fastest"] = comparable[result["fastest_peer"]] / mine
    return result


# ------------------------------------------------------------------------------------------------ reporting


def digits(value, unit=""):
    """Three digits, without an exponent."""
    if value is None:
        return "-"
    size = abs(value)
    places = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:.{places}f}{unit}"


def table(head, rows):
    """A table in Markdown with aligned columns, the first two to the left."""
    widths = [max(len(row[i]) for row in [head] + rows) for i in range(len(head))]
    align = lambda i, cell: cell.ljust(widths[i]) if i < 2 else cell.rjust(widths[i])
    text = lambda row: "| " + " | ".join(align(i, cell) for i, cell in enumerate(row)) + " |"
    rules = ["-" * (width + 2) if i < 2 else "-" * (width + 1) + ":" for i, width in enumerate(widths)]
    rule = "|" + "|".join(rules) + "|"
    return "\n".join([text(head), rule] + [text(row) for row in rows])


def cells(r, options):
    programs = r["programs"]

    def time(name):
        program = programs.get(name, {})
        mark = "" if program.get("agrees", True) else " *"
        return "failed" if "error" in program else digits(program.get("ms")) + mark

    ours, base = programs.get(OURS, {}), programs.get(options.baseline, {})
    result = [r["workload"], r["phase"], time(OURS)] + [time(name) for name in options.peers]
    if options.baseline in options.peers:
        result.append(digits(r.get("factors", {}).get(options.baseline)))
    if options.peers:
        fastest = r.get("fastest_peer")
        result.append(f"{digits(r['factor_fastest'])} {fastest}" if fastest else "-")
    for name in options.variants:
        ms = programs.get(name, {}).get("ms")
        result.append(f"{time(name)} ({digits(ms / ours['ms'] if ms and ours.get('ms') else None)})")
    result.append(digits(ours.get("peak_mb")))
    if options.baseline in options.peers:
        result.append(digits(base.get("peak_mb")))
    of_bound = r.get("of_bound")
    result += [digits(ours.get("gflops")), digits(r["bound_ms"]) + f" {r['bound_by']}",
               digits(100 * of_bound if of_bound else None, " %")]
    if r["threads"] > 1:
        result.append(digits(r.get("speedup")))
    return result


def head(threads, options):
    result = ["workload", "phase", f"{OURS} ms"] + [f"{name} ms" for name in options.peers]
    if options.baseline in options.peers:
        result.append(f"x {options.baseline}")
    if options.peers:
        result.append("x fastest")
    result += [f"{name} ms (x)" for name in options.variants] + ["MB"]
    if options.baseline in options.peers:
        result.append(f"{options.baseline} MB")
    return result + ["GFLOP/s", "bound ms", "of bound"] + (["x 1 thread"] if threads > 1 else [])


def describe(figures):
    triad = ", ".join(f"{t['gbytes']:.0f} GB/s on {t['bytes'] / 2**20:.3g} MiB a thread" for t in figures["triad"])
    return (f"{figures['simd']}: {figures['fma_gflops']:.0f} GFLOP/s of multiply-adds, "
            f"{figures['gexps']:.1f} G exponentials/s, triad {triad}")


def markdown(report, options):
    about, rows = report["about"], report["rows"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    text = [f"{about['processor']}, {about['date']}. {versions}. Median over {about['rounds']} "
            f"round(s) of the {about['repetition']} repetition, {about['budget']:g} s for each row and round."]
    for threads in options.threads:
        mine = [r for r in rows if r["threads"] == threads]
        clock = "processor time" if threads == 1 else "wall time"
        text.append(f"### {threads} thread{'s' if threads > 1 else ''}, {clock}")
        text.append(describe(report["machines"][str(threads)]))
        text.append(table(head(threads, options), [cells(r, options) for r in mine]))
    agreeing = [p["disagreement"] for r in rows for name, p in r["programs"].items()
                if name in options.peers and p.get("agrees")]
    if agreeing:
        text.append(f"Check sums agree in {len(agreeing)} comparisons; the largest difference is {max(agreeing):.1e}.")
    remarks = []
    for r in rows:
        for name, program in r["programs"].items():
            place = f"{r['workload']} {r['phase']}, {r['threads']} thread(s), {name}"
            if "error" in program:
                remarks.append(f"- {place}: {program['error']}")
            elif not program["agrees"]:
                remarks.append(f"- {place}: * check sums differ by {program['disagreement']:.1e}, not compared")
    remarks += [f"- {complaint}" for complaint in report["complaints"]]
    return "\n\n".join(text + (["\n".join(remarks)] if remarks else [])) + "\n"


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    options = arguments()
    chosen = workloads(options)
    lines, machines, complaints = measure(options, chosen)
    rows = compare(lines, machines, chosen, options)
    versions = {}
    for r in rows:
        for name, program in r["programs"].items():
            if program.get("version"):
                versions.setdefault(name, program["version"])
    about = dict(processor=processor(), date=datetime.date.today().isoformat(), versions=versions,
                 rounds=options.rounds, budget=options.budget, repetition=options.repetition,
                 filter=options.filter, phases=options.phases,
                 interleaved="by workload" if options.by_workload else "by file")
    report = dict(about=about, machines={str(t): m for t, m in machines.items()}, rows=rows, complaints=complaints)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
            file.write("\n")
    text = markdown(report, options)
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        print(text, end="")
    bad = [r for r in rows for program in r["programs"].values() if not program.get("agrees", False)]
    return 1 if bad or complaints else 0


if __name__ == "__main__":
    sys.exit(main())
