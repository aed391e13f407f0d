"""Take the pictures of the audit page that the documentation shows.

    bat audit page
    python tests/audit/screenshots.py results/audit/index.html docs/images

The pictures of a desk show the table, and a number's panel in the dark; the phone is 375 px wide.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from audit.browser import Page, absent, start

CELL = "#cell=bat-mini,cgp,speaker,accuracy"
CALM = {"prefers_reduced_motion": "reduce"}


def main() -> None:
    path, folder = Path(sys.argv[1]), Path(sys.argv[2])
    if why := absent():
        sys.exit(why)
    folder.mkdir(parents=True, exist_ok=True)
    driver = start()
    try:
        shoot(Page(driver), path, folder)
    finally:
        driver.quit()


def shoot(page: Page, path: Path, folder: Path) -> None:
    page.resize(1280, 1120)
    page.media(prefers_color_scheme="light", **CALM)
    page.open(path)
    save(page, folder / "audit-light.png")
    page.media(prefers_color_scheme="dark", **CALM)
    page.open(path, CELL)
    save(page, folder / "audit-dark.png")
    page.resize(375, 812)
    page.media(prefers_color_scheme="light", **CALM)
    page.open(path)
    page.script("document.getElementById('grid').scrollIntoView()")
    save(page, folder / "audit-phone.png")


def save(page: Page, path: Path) -> None:
    page.driver.save_screenshot(str(path))
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
