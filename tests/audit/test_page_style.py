"""The page's colours can be read: WCAG 2.2, level AA, computed from the style itself."""

import re
from importlib.resources import files

import pytest

CSS = files("bat.audit.page").joinpath("page.css").read_text("utf-8")
COLOURS = {
    name: dict(zip(("light", "dark"), both, strict=True))
    for name, *both in re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", CSS)
}
TEXT = [  # 1.4.3: 4.5 to 1
    *((ink, ground) for ink in ("ink", "quiet", "accent") for ground in ("paper", "card", "sunk")),
    *((ink, ground) for ink in ("good", "bad", "unsure") for ground in ("card", "paper")),
    *((ink, ground) for ink in ("good", "bad", "unsure") for ground in (f"{ink}-wash",)),
    *((ink, "sunk") for ink in ("good", "bad", "unsure")),  # a number under the pointer
    ("ink", "bad-wash"),
    ("on-accent", "accent"),
]
SHAPES = [  # 1.4.11: 3 to 1
    *(("control", ground) for ground in ("paper", "card")),
    *(("accent", ground) for ground in ("paper", "card", "sunk", "bad-wash")),
    ("bad", "bad-wash"),
    ("unsure", "paper"),
]


def luminance(colour):
    """Relative luminance, as WCAG defines it."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_contrast_is_what_wcag_says_of_known_colours():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXT)
def test_text_can_be_read(ink, ground, scheme):
    assert contrast(COLOURS[ink][scheme], COLOURS[ground][scheme]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("shape", "ground"), SHAPES)
def test_controls_and_focus_can_be_seen(shape, ground, scheme):
    assert contrast(COLOURS[shape][scheme], COLOURS[ground][scheme]) >= 3


def test_every_colour_is_a_variable_with_both_schemes():
    """So that none escapes these checks; pictures have white paper, shadows are black."""
    rules = CSS.split("}", 1)[1]
    assert set(re.findall(r"#[0-9a-f]{3,8}\b|rgba?\([^)]*\)", rules)) <= {
        "#ffffff", "rgb(0 0 0 / 0.18)",
    }  # fmt: skip
    used = set(re.findall(r"(?<![\w-])(?:color|background|fill|stroke): var\(--([\w-]+)\)", rules))
    assert used <= {*COLOURS, "shade"}
    inks = set(re.findall(r"(?<![\w-])color: var\(--([\w-]+)\)", rules))
    assert inks <= {ink for ink, _ in TEXT}
    assert {ground for _, ground in TEXT} >= set(
        re.findall(r"background: var\(--([\w-]+)\)", rules)
    ) - {"line", "shade"}


def test_colour_is_never_the_only_sign():
    """Verdicts have signs besides, marks have shapes."""
    data = files("bat.audit.page").joinpath("data.js").read_text("utf-8")
    signs = re.findall(r'sign: "(.)"', data)
    assert len(signs) == len(set(signs)) == 7
    assert re.search(r"\.independent::after.*?background", CSS)
