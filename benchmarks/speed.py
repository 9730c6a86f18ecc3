"""How fast training and denoising are, against plain code and against the computer's limits: docs/speed.md.

Each row runs in a process of its own and adds its figures as lines to results/speed.jsonl; then the page is written
anew from the newest lines. Before, a plain port of the paper's recipe is checked to be the same mathematics as the
preset `paper`. With --quick, sizes and repeats are smaller, and the figures are shown but not kept, unless --results
says where.

The computer should have nothing else to do; what others took of it is kept with every figure.
"""

import argparse
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import torch
from machine import processor
from speed_check import check_port
from speed_report import PAGE, goal_of, read_lines, write_report
from speed_rows import CPU_ONLY, GPU_ONLY, NOT_QUICK, ONE_THREAD, ROWS
from speed_timing import Bench, Others, number

RESULTS = Path(__file__).parent / "results" / "speed.jsonl"
CHECKED_STEPS = 3
MUCH_CORES = 0.1
"""Taken by other programs: more than this is shown."""
THREADS_OF_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> None:
    options = parse()
    if options.one:
        measure(options)
        return
    steps = options.check or (1 if options.quick else CHECKED_STEPS)
    if options.check or "paper-step" in options.rows:
        print(f"The plain port is the preset paper: {check_port(steps, options.threads)}", flush=True)
    if options.check:
        return
    failed = [row for row in options.rows if not run_row(row, options)]
    if options.results:
        write_report(read_lines(options.results), PAGE if options.results == RESULTS else page_beside(options.results))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="all cores, if not given")
    parser.add_argument("--repeats", type=int, help="timings of each side; 5, or 2 with --quick")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), metavar="ROW", help=f"some of {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="a rehearsal")
    parser.add_argument("--batch", type=int, help="crops of a step of paper; 6 as in the paper, or 2 with --quick")
    parser.add_argument("--minutes", type=float, default=8, help="training of the row useful-result")
    parser.add_argument("--check", type=int, nargs="?", const=20, metavar="STEPS", help="only check the port")
    parser.add_argument("--results", type=Path, help="where figures are kept")
    parser.add_argument("--one", choices=list(ROWS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    left_out = CPU_ONLY if options.device == "cuda" else GPU_ONLY
    left_out |= NOT_QUICK if options.quick else set()
    options.rows = options.rows or [row for row in ROWS if row not in left_out]
    options.repeats = options.repeats or (2 if options.quick else 5)
    options.batch = options.batch or (2 if options.quick else 6)
    options.results = options.results or (None if options.quick else RESULTS)
    return options


def page_beside(results: Path) -> Path:
    return results.with_suffix(".md")


def run_row(row: str, options: argparse.Namespace) -> bool:
    """Measure a row in a process of its own, show its figures and keep them; return whether it could be measured."""
    environment = dict(os.environ)
    if row in ONE_THREAD:
        environment |= dict.fromkeys(THREADS_OF_LIBRARIES, "1")
    command = [sys.executable, __file__, *sys.argv[1:], "--one", row]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        print(f"{row}: failed\n{done.stderr.strip()}", flush=True)
        return False
    lines = done.stdout.strip().splitlines()
    for line in map(json.loads, lines):
        print(shown(line), flush=True)
    if options.results:
        with options.results.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)
    return True


def shown(line: dict[str, Any]) -> str:
    parts = [
        f"{line['name']}: {number(line['figure'])} {line['unit']} ({number(line['low'])}–{number(line['high'])})",
        line["against"],
        f"goal {line['goal']}" if line["goal"] else "",
        f"others took {line['others_cores']} cores" if line["others_cores"] > MUCH_CORES else "",
    ]
    return "; ".join(part for part in parts if part)


def measure(options: argparse.Namespace) -> None:
    """Measure one row and write its lines."""
    threads = 1 if options.one in ONE_THREAD else options.threads
    bench = Bench(options.device, threads, options.repeats, options.quick, options.batch, options.minutes)
    torch.set_num_threads(threads)
    others = Others()
    results = ROWS[options.one](bench)
    conditions = {
        "device": bench.device,
        "threads": threads,
        "repeats": bench.repeats,
        "quick": bench.quick,
        "machine": torch.cuda.get_device_name() if bench.on_gpu else processor(),
        "torch": torch.__version__,
        "others_cores": round(others.cores(), 2),
        "date": date.today().isoformat(),
    }
    for result in results:
        line = result.line() | {"goal": goal_of(result.name, bench.device)} | conditions
        print(json.dumps(line, ensure_ascii=False))


if __name__ == "__main__":
    main()
