"""Time the audit page on thousands of made numbers, in a real browser.

    python benchmarks/audit_page.py
    python benchmarks/audit_page.py --cells 20000

An experiment is written record by record, with recipes of the size of real ones that share what
real ones share: 5,000 numbers of 2,500 probes on 100 encoders, 15 runs each. Its page is made, and
opened in headless Chromium from its file. Printed are the size of the page, the time to load it (to
the end of its load event and its first paint), and for some searches the time from the key to the
painted frame: the median of some repeats, and the range. Exit status 1 if a median is more than 2 s
for loading or 100 ms for a search.
"""

import argparse
import contextlib
import statistics
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
    searches: dict[str, list[float]] = {}
    for _ in range(repeats):
        page.open(path)
        loads.append(page.script(LOADED))
        for words in words_for(page):
            took, count = page.driver.execute_async_script(SEARCH, words)
            searches.setdefault(f"search {words[:16]!r}, {count}", []).append(took)
    opened = page.driver.execute_async_script(OPEN)
    slow = 0
    for what, times, allowed in (
        ("load", loads, ALLOWED_LOAD_MS),
        *((what, times, ALLOWED_SEARCH_MS) for what, times in searches.items()),
    ):
        median = statistics.median(times)
        slow += median > allowed
        outcome = "ok" if median <= allowed else "TOO SLOW"
        print(
            f"{what}: {median:.0f} ms ({min(times):.0f}-{max(times):.0f}) of {allowed}: {outcome}"
        )
    print(f"opened a number: {opened:.0f} ms")
    return int(slow > 0)


def words_for(page: Page) -> list[str]:
    """Return what is searched for: letters, names, a checkpoint's hash, a folder, nothing."""
    pretrained = "DATA.records.find(record => record.stage === 'pretrain')"
    checkpoint = page.script(f"return hash({pretrained}.outputs[0].sha256)")
    folder = "results/pretrain/model-01"
    return ["m", "model-07", "model-07 cgp map", "", checkpoint, folder, "none", ""]


if __name__ == "__main__":
    sys.exit(main())
