"""Time the audit page on thousands of made numbers, in a real browser.

    python benchmarks/audit_page.py
    python benchmarks/audit_page.py --cells 20000

An experiment is written record by record, with recipes of the size of real ones that share what
real ones share: 5,000 numbers of 2,500 probes on 100 encoders, 15 runs each. Its page is made, and
opened in headless Chromium from its file. Printed are the size of the page, the time to load it (to
the end of its load event and its first paint; the slowest of some loads counts), and for each of
some searches the time from the key to the painted frame. Exit status 1 if loading takes more than
2 s or a search more than 100 ms.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from audit.browser import Page, absent, start  # noqa: E402
from audit.made_experiment import many  # noqa: E402
from bat.audit.page.gather import gather  # noqa: E402
from bat.audit.page.render import render  # noqa: E402

ALLOWED_LOAD_MS, ALLOWED_SEARCH_MS = 2000, 100
LOADED = """
const [load] = performance.getEntriesByType('navigation');
const paints = performance.getEntriesByType('paint').map(paint => paint.startTime);
return Math.max(load.loadEventEnd, ...paints);
"""
SEARCH = """
const [words, done] = arguments, field = document.getElementById('search');
const started = performance.now();
field.value = words;
field.dispatchEvent(new Event('input', { bubbles: true }));
requestAnimationFrame(() => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => done([performance.now() - started, byId('count').textContent]);
  port2.postMessage(null);  // comes after the frame was painted
});
"""
OPEN = """
const started = performance.now();
document.querySelector('[data-cell]').click();
setTimeout(() => arguments[0](performance.now() - started));
"""


def main() -> int:
    arguments = parse()
    if why := absent():
        print(why)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder), arguments.cells)
        driver = start()
        try:
            return measure(Page(driver), path, arguments.repeats)
        finally:
            driver.quit()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def make(folder: Path, cells: int) -> Path:
    many(folder, cells).write()
    started = time.perf_counter()
    with contextlib.chdir(folder):
        data = gather()
    path = folder / "index.html"
    path.write_text(render(data), encoding="utf-8")
    print(
        f"{len(data.cells):,} numbers, {len(data.records):,} records, {len(data.hashes):,} hashes: "
        f"{path.stat().st_size / 1e6:.1f} MB, made in {time.perf_counter() - started:.1f} s"
    )
    return path


def measure(page: Page, path: Path, repeats: int) -> int:
    loads = []
    for _ in range(repeats):
        page.open(path)
        loads.append(page.script(LOADED))
    print(f"loaded in {', '.join(f'{load:.0f}' for load in loads)} ms")
    checkpoint = page.script(
        "return hash(DATA.records.find(r => r.stage === 'pretrain').outputs[0].sha256)"
    )
    searches = [
        "m",
        "model-07",
        "model-07 cgp map",
        "",
        checkpoint,
        "results/pretrain/model-01",
        "none",
        "",
    ]
    times = []
    for words in searches:
        took, count = page.driver.execute_async_script(SEARCH, words)
        times.append(took)
        print(f"  search {words[:30]!r}: {took:.0f} ms, {count}")
    print(f"opened a number in {page.driver.execute_async_script(OPEN):.0f} ms")
    outcomes = [
        ("slowest load", max(loads), ALLOWED_LOAD_MS),
        ("slowest search", max(times), ALLOWED_SEARCH_MS),
    ]
    for what, took, allowed in outcomes:
        print(
            f"{what}: {took:.0f} ms of {allowed} allowed: {'ok' if took <= allowed else 'TOO SLOW'}"
        )
    return int(any(took > allowed for _, took, allowed in outcomes))


if __name__ == "__main__":
    sys.exit(main())
