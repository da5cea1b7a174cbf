"""Times the page's network in headless Chromium, beside Python on the same machine.

    python -m web.bench
    python -m web.bench --threads 1 2 --rounds 5 --json bench.json

Both run web/dist's model.onnx on one drawn frame, in turns, so that other work on the
machine disturbs both alike.
"""

import argparse
import base64
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cli.command import UserError, command_parser, run_command
from cli.files import write_json
from cli.ranges import AT_LEAST_ONE, number
from data.demo import draw_frame
from deploy.runtimes import Runtime, load_runtime
from web.build import MODEL
from web.chromium import start_chromium
from web.serve import DIST, make_server

WARM_UP = 5  # runs before each round that are not counted
# Of a page that holds nothing else: `arguments` are pixels, runs and threads.
IN_BROWSER = """
const [pixels, runs, threads, done] = arguments;
import('/network.js').then(async ({ loadNetwork }) => {
  const { network } = await loadNetwork({ threads, onProgress() {} });
  const rgb = Uint8ClampedArray.from(atob(pixels), (c) => c.charCodeAt(0));
  const times = [];
  while (times.length < runs) times.push((await network.run(rgb)).milliseconds);
  done({ times });
}).catch((error) => done({ error: error.message }));
"""


def time_in_browser(
    browser, address: str, frame: np.ndarray, runs: int, threads: int
) -> list[float]:
    """Milliseconds of each run in the browser."""
    browser.get(f"{address}/licences.txt")
    pixels = base64.b64encode(frame.tobytes()).decode()
    answer = browser.execute_async_script(IN_BROWSER, pixels, runs, threads)
    if "error" in answer:
        raise UserError(answer["error"])
    return answer["times"]


def time_in_python(runtime: Runtime, frame: np.ndarray, runs: int) -> list[float]:
    """Milliseconds of each run in Python."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        runtime(frame)
        times.append(1e3 * (time.perf_counter() - start))
    return times


def measure(
    folder: Path, thread_counts: list[int], rounds: int, runs: int
) -> list[dict]:
    """Times both in turns; returns a row for each number of threads.

    Args:
        folder: the built page.
        thread_counts: numbers of threads to try.
        rounds: how often browser and Python take turns.
        runs: counted runs a round.
    """
    runtimes = {n: load_runtime(folder / MODEL, n) for n in thread_counts}
    frame, _ = draw_frame(0, runtimes[thread_counts[0]].image_size)
    times = {n: {"browser": [], "python": []} for n in thread_counts}
    with make_server(folder, 0) as server, start_chromium() as browser:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://localhost:{server.server_port}"
        for _ in range(rounds):
            for n, both in times.items():
                new = time_in_browser(browser, address, frame, WARM_UP + runs, n)
                both["browser"] += new[WARM_UP:]
                new = time_in_python(runtimes[n], frame, WARM_UP + runs)
                both["python"] += new[WARM_UP:]
        server.shutdown()
    return [{"threads": n} | summarise(**both) for n, both in times.items()]


def summarise(browser: list[float], python: list[float]) -> dict[str, float]:
    """Minimum, p50 and p95 of both, and the ratios, from times in milliseconds."""
    row = {}
    for name, times in (("browser", browser), ("python", python)):
        for statistic, percent in (("min", 0), ("p50", 50), ("p95", 95)):
            row[f"{name}_{statistic}"] = float(np.percentile(times, percent))
    for statistic in ("min", "p50"):
        ratio = row[f"browser_{statistic}"] / row[f"python_{statistic}"]
        row[f"ratio_{statistic}"] = ratio
    return row


def table(rows: list[dict]) -> str:
    """The rows as a Markdown table."""

    def line(values: Iterable) -> str:
        cells = [f"{v:.1f}" if isinstance(v, float) else str(v) for v in values]
        return f"| {' | '.join(cells)} |"

    columns = list(rows[0])
    lines = [line(columns), line(["---"] * len(columns))]
    return "\n".join(lines + [line(row.values()) for row in rows])


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    count = number(int, AT_LEAST_ONE)
    parser.add_argument("--threads", type=count, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--runs", type=count, default=40, help="counted runs a round")
    parser.add_argument("--folder", type=Path, default=DIST, help="the built page")
    parser.add_argument("--json", type=Path, help="also write the table here")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    rows = measure(args.folder, args.threads, args.rounds, args.runs)
    print(table(rows))
    if args.json:
        write_json(args.json, rows)


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
