"""The audit page as a reader has it: in a real browser, from a file, with the network off."""

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from audit.conftest import INDEX, build, remake
from bat.audit.marks import Mark
from bat.audit.page.gather import gather
from bat.audit.page.judgement import Judgement
from bat.audit.page.render import render
from bat.evaluation.cells import read_cells
from bat.provenance.recipe import RECIPE, read_recipe

CELL = "bat-mini,cgp,speaker,accuracy"
RUNS = "results/probe/bat-mini/speaker/cgp/all"


@pytest.fixture
def page(view, made):
    """The small experiment's page, just opened."""
    return view.open(made / INDEX)


def ids_on_disk(folder):
    return {read_recipe(path.parent).id for path in folder.rglob(RECIPE)}


def names(cells):
    return [cell.name for cell in cells]


# --- it stands alone --------------------------------------------------------------------------


def test_it_opens_from_its_file_and_asks_for_nothing(page, made):
    for address in ("#results", "#claims", "#figures"):
        page.one(f"nav a[href='{address}']").click()
    page.open_number(CELL)
    page.keys(Keys.ESCAPE)
    asked = [url for url in page.requests() if not url.startswith("data:")]
    assert asked == [(made / INDEX).resolve().as_uri()]
    assert page.complaints() == []


def test_its_figures_are_in_it(page):
    widths = page.script(
        "return Promise.all([...document.images].map(async i =>(await i.decode(), i.naturalWidth)))"
    )
    assert widths == [1]
    assert "bat-mini" in page.texts("#figures td")


def test_a_script_that_is_not_its_own_does_not_run(page):
    page.script(
        "const s = document.createElement('script'); s.textContent = 'window.foreign = 1';"
        "document.body.append(s); document.body.insertAdjacentHTML('beforeend',"
        '\'<img src="http://127.0.0.1:9/x.png" onerror="window.foreign = 2">\')'
    )
    page.until("return true")
    assert page.script("return window.foreign") is None
    assert any("Content Security Policy" in line for line in page.complaints())


# --- the table --------------------------------------------------------------------------------


def test_every_number_of_the_table_is_on_it_under_its_row_and_column(page, made):
    table = page.script(
        "return [...document.querySelectorAll('#grid .row:has(.number)')].map(r =>"
        " [r.parentElement.querySelector('.model').textContent,"
        "           ...[...r.children].map(c => c.textContent)])"
    )
    metrics = page.texts("#grid .metric")
    assert page.texts("#grid .task") == ["speaker", "mixture"]
    assert metrics == ["accuracy", "mAP", "accuracy", "mAP"]
    columns = list(zip(["speaker"] * 2 + ["mixture"] * 2, metrics, strict=True))
    cells = read_cells(made / "results/tables/cells.json")
    expected = {
        (c.model, c.method, c.task, c.metric): f"{c.mean:.2f}±\u2009{c.std:.2f}" for c in cells
    }
    found = {
        (model, method, *column): text
        for model, method, *texts in table
        for column, text in zip(columns, texts, strict=True)
    }
    assert found == expected


def test_a_click_on_a_number_opens_its_lineage_down_to_the_source(page):
    page.open_number(CELL)
    assert page.text("#panel-title") == "bat-mini · cgp · speaker accuracy"
    kinds = page.texts("#panel .box .kind")
    assert kinds[:3] == ["Number", "Statistics", "Head and predictions"]
    assert sorted(set(kinds[3:])) == [
        "Checkpoint", "Embeddings", "Ledger and recordings", "Manifest", "Source archive",
        "Spectrograms",
    ]  # fmt: skip
    places = page.script(
        "return [...document.querySelectorAll('.box')].map(b =>"
        "[b.querySelector('.kind').textContent, b.getBoundingClientRect().top])"
    )
    assert [kind for kind, _ in sorted(places, key=lambda place: place[1])][-1] == "Source archive"


def test_boxes_of_a_lineage_do_not_overlap(page):
    page.open_number("bat-mini,cgp,mixture,mAP")
    boxes = page.script(
        "return [...document.querySelectorAll('.box > rect')].map(r => {"
        "const b = r.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]})"
    )
    assert len(boxes) == 13
    for place, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:place]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_every_box_opens_its_record(page, made):
    page.open_number(CELL)
    folders = set()
    for box in page.all(".box[role=button]"):
        page.script("arguments[0].dispatchEvent(new MouseEvent('click'))", box)
        shown = page.text("#detail .record")
        index = int(box.get_attribute("data-index"))
        folder = page.script("return DATA.records[arguments[0]].folder", index)
        recipe = read_recipe(made / folder)
        assert recipe.id in shown and recipe.stage in shown
        everything = page.texts("#detail .record")[0]
        hashes = page.script(
            "return [...document.querySelectorAll('#detail [data-hash]')].map(h => h.dataset.hash)"
        )
        expected = [o.sha256 for o in recipe.outputs] + [i.sha256 for i in recipe.inputs]
        assert {*expected, *recipe.code.values(), recipe.environment_lock} <= set(hashes)
        for text in ("AMD", "torch 2.13.0", "f" * 40, "1.03 GB", "2026-11-25 17:55:00 UTC"):
            assert text in everything.replace("a processor", "AMD")
        assert json.dumps(recipe.settings, indent=1) in everything
        folders.add(folder)
    assert {RUNS, "results/tables", "data/source/meetings"} <= folders


def test_every_run_is_a_dot_and_a_value_in_a_table(page, made):
    page.open_number(CELL)
    (cell,) = [c for c in read_cells(made / "results/tables/cells.json") if c.name == CELL]
    expected = [f"{run.fold}, seed {run.seed}: {100 * run.value:.2f} %" for run in cell.runs]
    assert page.texts(".spread .run title") == expected
    values = [f"{100 * run.value:.2f}" for run in cell.runs]
    assert page.texts("#panel details [aria-label='Every run, in %'] td.numeric") == values
    places = page.script(
        "return [...document.querySelectorAll('.spread .run')].map(c => c.cx.baseVal.value)"
    )
    order = sorted(range(len(places)), key=lambda n: cell.runs[n].value)
    assert [places[n] for n in order] == sorted(places)
    assert f"{cell.low:.2f} to {cell.high:.2f}" in page.text("#panel .headline")


def test_it_says_which_recordings_are_used_and_why_others_are_not(page):
    page.open_number(CELL)
    ledger = page.texts("#panel .ledger tr")
    assert "partokmissingshortall" in ledger
    assert "all7021" + "73" in ledger
    assert "shortshorter than 1 s1meeting-0/speaker-5/2704915-2705303" in ledger
    assert "missingmade2recording-70" in ledger
    assert any(line == "all1,125" for line in ledger)


# --- its commands -----------------------------------------------------------------------------


def copied(page, label):
    """Press a copy button; return what is pasted afterwards."""
    button = page.one(f"#panel button[aria-label='Copy: {label}']")
    button.click()
    page.until("return document.getElementById('said').textContent !== ''")
    said = page.text("#said")
    page.keys(Keys.ESCAPE)
    return said, page.paste()


REHASH = "Rehash everything behind it"


def test_a_command_is_copied_and_does_what_it_says(page, made):
    page.open_number(CELL)
    said, text = copied(page, REHASH)
    assert said == "Copied"
    assert text == f"bat audit trace 'main.csv#{CELL}' --verify"
    bat, *arguments = shlex.split(text)
    done = subprocess.run(
        [Path(sys.executable).with_name(bat), *arguments],
        cwd=made, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "all match" in done.stdout and read_recipe(made / RUNS).id[:16] in done.stdout


def test_a_command_is_copied_where_the_clipboard_refuses(page):
    denied = {"permission": {"name": "clipboard-write"}, "setting": "denied"}
    page.cdp("Browser.setPermission", denied)
    try:
        page.open_number(CELL)
        said, text = copied(page, "Rebuild its runs in place, and what depends on them")
    finally:
        page.cdp("Browser.resetPermissions", {})
    assert said == "Copied"
    assert text == (f"snakemake --cores 2 --forcerun {RUNS}/recipe.json -- results/tables/main.csv")


def test_names_that_a_shell_would_read_are_quoted(view, tmp_path):
    model = "it's $(touch x); `y` & *"
    view.open(build(tmp_path, models=[model]))
    view.open_number(f"{model},cgp,speaker,accuracy")
    _, text = copied(view, REHASH)
    assert shlex.split(text)[3] == f"main.csv#{model},cgp,speaker,accuracy"


def test_commands_name_another_experiment(view, made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    (tmp_path / "params.yaml").rename(tmp_path / "other one.yaml")
    done = subprocess.run(
        [Path(sys.executable).with_name("bat"), "--params", "other one.yaml", "audit", "page"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "16 numbers, 29 records, 254 claims, 0 problems" in done.stdout
    view.open(tmp_path / INDEX)
    view.open_number(CELL)
    commands = view.texts("#panel .command code")
    assert all("'other one.yaml'" in text for text in commands if "audit trace" not in text)


# --- finding things ---------------------------------------------------------------------------


def test_search_finds_numbers_by_all_of_the_words(page):
    assert page.search("eat-mini") == [name for name in page.search("") if "eat-mini" in name]
    assert page.search("EAT accuracy lp") == [
        "eat-mini,lp,speaker,accuracy", "eat-mini,lp,mixture,accuracy",
    ]  # fmt: skip
    assert page.search("no such thing") == []
    assert page.text("#count") == "0 of 16 numbers"
    assert len(page.search("")) == 16


def test_search_finds_a_number_by_its_record(page, made):
    assert page.search(read_recipe(made / RUNS).id) == [CELL, CELL.replace("accuracy", "mAP")]
    assert page.search(read_recipe(made / RUNS).id[:10].upper())[0] == CELL


@pytest.mark.parametrize(
    ("folder", "file", "found"),
    [
        ("results/pretrain/eat-mini/late", "encoder.safetensors", {"eat-mini"}),
        ("data/tokens/bat-mini/early/mixture", "tokens.safetensors", {"bat-mini", "mixture"}),
        ("data/manifest/mixture", "manifest.parquet", {"mixture"}),
        ("data/source/meetings", "archive", set()),
    ],
)
def test_a_hash_finds_exactly_the_numbers_that_depend_on_it(page, made, folder, file, found):
    every = page.search("")
    if file == "manifest.parquet":  # both tasks have the same clips here
        word = read_recipe(made / folder).id
    else:
        word = read_recipe(made / folder).output(file).sha256
    assert page.search(word) == [name for name in every if found <= set(name.split(","))]
    assert page.texts("#found-records a") == [folder]
    assert page.search(f"{folder}/") == [] or page.search(folder)


def test_a_record_that_was_found_can_be_opened(page, made):
    page.search(read_recipe(made / "data/source/meetings").id)
    page.one("#found-records a").click()
    page.until("return document.getElementById('panel').open")
    assert page.text("#panel-title") == "data/source/meetings"
    assert "16 of 16" in page.text("#panel-body")


def test_filters_leave_the_rows_and_columns_that_match(page):
    page.choose("#of-model", "eat-mini")
    page.choose("#of-task", "mixture")
    assert page.shown() == [
        f"eat-mini,{method},mixture,{metric}"
        for method in ("cgp", "lp")
        for metric in ("accuracy", "mAP")
    ]
    heads = page.script(
        "return [...document.querySelectorAll('#grid .task, #grid .metric')]"
        ".filter(h => h.checkVisibility()).map(h => h.textContent)"
    )
    assert heads == ["mixture", "accuracy", "mAP"]
    assert page.text("#count") == "4 of 16 numbers"
    page.choose("#of-model", "")
    page.choose("#of-task", "")
    assert len(page.shown()) == 16


# --- the keyboard alone -----------------------------------------------------------------------


def tab_to(page, condition, most=60):
    for _ in range(most):
        page.keys(Keys.TAB)
        if page.script(f"const e = document.activeElement; return {condition}"):
            return
    raise AssertionError(f"Tab did not come to {condition}")


def current(page):
    return page.script("return cellName(DATA.cells[document.activeElement.dataset.cell])")


def test_a_walk_with_the_keyboard_alone(page):
    tab_to(page, "e.dataset.cell !== undefined")
    assert current(page) == "bat-mini,cgp,speaker,accuracy"
    for key, name in [
        (Keys.ARROW_RIGHT, "bat-mini,cgp,speaker,mAP"),
        (Keys.ARROW_DOWN, "bat-mini,lp,speaker,mAP"),
        (Keys.ARROW_DOWN, "eat-mini,cgp,speaker,mAP"),
        (Keys.END, "eat-mini,cgp,mixture,mAP"),
        (Keys.ARROW_RIGHT, "eat-mini,cgp,mixture,mAP"),
        (Keys.ARROW_LEFT, "eat-mini,cgp,mixture,accuracy"),
        (Keys.PAGE_DOWN, "eat-mini,lp,mixture,accuracy"),
        (Keys.ARROW_DOWN, "eat-mini,lp,mixture,accuracy"),
        (Keys.PAGE_UP, "bat-mini,cgp,mixture,accuracy"),
        (Keys.HOME, "bat-mini,cgp,speaker,accuracy"),
    ]:
        page.keys(key)
        assert current(page) == name
    page.with_control(Keys.END)
    assert current(page) == "eat-mini,lp,mixture,mAP"

    page.keys(Keys.ENTER)
    page.until("return document.getElementById('panel').open")
    assert page.text("#panel-title") == "eat-mini · lp · mixture mAP"
    tab_to(page, "e.classList.contains('box')")
    for _ in range(3):
        page.keys(Keys.ARROW_DOWN)
    assert page.focused("key") != "table"
    page.keys(Keys.ENTER)
    folder = page.script("return DATA.records[document.activeElement.dataset.index].folder")
    assert folder in page.text("#detail .record")
    tab_to(page, "e.classList.contains('copy')")
    page.keys(Keys.ENTER)
    page.until("return document.getElementById('said').textContent === 'Copied'")
    # Everything behind the panel is out of reach.
    tab_to(page, "e.id === 'close'", most=200)
    page.keys(Keys.ESCAPE)
    page.until("return !document.getElementById('panel').open")
    assert current(page) == "eat-mini,lp,mixture,mAP"


def test_arrow_keys_pass_over_what_is_filtered_out(page):
    page.choose("#of-task", "mixture")
    page.search("mAP")
    tab_to(page, "e.dataset.cell !== undefined")
    assert current(page) == "bat-mini,cgp,mixture,mAP"
    page.keys(Keys.ARROW_LEFT)
    assert current(page) == "bat-mini,cgp,mixture,mAP"
    page.keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert current(page) == "eat-mini,cgp,mixture,mAP"


def test_whatever_has_the_focus_can_be_seen_to_have_it(page):
    tab_to(page, "e.dataset.cell !== undefined")
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert page.script(outline) == "solid"
    page.keys(Keys.ENTER)
    tab_to(page, "e.classList.contains('box')")
    assert page.script(
        "return getComputedStyle(document.activeElement.querySelector('rect')).strokeWidth"
    ) == "3px"  # fmt: skip


# --- addresses --------------------------------------------------------------------------------


def test_an_address_opens_its_number(view, made):
    view.open(made / INDEX, f"#cell={CELL}")
    assert view.text("#panel-title") == "bat-mini · cgp · speaker accuracy"
    view.keys(Keys.ESCAPE)
    view.until("return location.hash === ''")


def test_an_address_opens_its_record(view, made):
    view.open(made / INDEX, f"#record={read_recipe(made / RUNS).id[:12]}")
    assert view.text("#panel-title") == RUNS
    view.one("#panel-body a").click()
    view.until("return document.getElementById('panel-kind').textContent === 'Number'")
    view.driver.back()
    view.until("return document.getElementById('panel-kind').textContent === 'Record'")


@pytest.mark.parametrize("address", ["#cell=no,such,cell,there", "#record=00", "#cell=%", "#x"])
def test_an_address_of_nothing_opens_nothing(view, made, address):
    view.open(made / INDEX, address)
    assert not view.script("return document.getElementById('panel').open")
    assert view.complaints() == []


# --- every number -----------------------------------------------------------------------------

STRAY_NUMBERS = """
const stray = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const around = node.parentElement;
  if (!/\\d/.test(node.data) || around.closest('script, style, noscript')) continue;
  // Counts of what a filter left, and names, are no results.
  if (around.closest('output, select, h2, h4, [role$=header], .names')) continue;
  const from = around.closest('[data-record], [data-claim]');
  if (!from || (from.dataset.record === '' && !from.dataset.claim)) stray.push(node.data);
}
return stray;
"""


def records_named(page):
    return set(page.script(
        "return [...document.querySelectorAll('[data-record]')].map(e => e.dataset.record)"
    ))  # fmt: skip


def check_numbers(page, folder, cells):
    """Every number on the page names its record or its claim, and the records are there."""
    known = ids_on_disk(folder)
    assert page.script(STRAY_NUMBERS) == []
    assert records_named(page) <= known
    for name in cells:
        page.script("location.hash = arguments[0]", f"#cell={name}")
        page.until("return document.getElementById('panel').open")
        assert page.script(STRAY_NUMBERS) == []
        assert records_named(page) <= known
    return known


def test_a_number_whose_record_is_gone_does_not_resolve(view, changed):
    """The check itself, on a page that was made before a record went."""
    (changed / "data/pcm/meetings" / RECIPE).unlink()
    view.open(changed / INDEX)
    with pytest.raises(AssertionError):
        check_numbers(view, changed, [CELL])


def test_every_number_resolves_to_a_record_on_disk(page, made):
    check_numbers(page, made, names(read_cells(made / "results/tables/cells.json")))


# --- names that are markup --------------------------------------------------------------------

EVIL = "<img src=x onerror=alert(1)>.wav"


def test_names_that_are_markup_are_shown_as_text(view, tmp_path):
    evil = build(
        tmp_path, models=[EVIL, "plain"], methods=["<b>cgp</b>"], tasks=["<i>task</i>"],
        metrics=["<u>accuracy</u>"], folds=["<s>fold</s>"], recording=EVIL, dataset=EVIL,
        note=f"{EVIL}</script><script>alert(2)</script>",
    )  # fmt: skip
    broken = tmp_path / f"results/pretrain/{EVIL}/early" / RECIPE
    broken.unlink()
    view.open(remake(tmp_path))
    assert EVIL in view.texts("#grid .model")[0]
    assert EVIL in view.text("#problems")
    view.search("img onerror")
    view.open_number(f"{EVIL},<b>cgp</b>,<i>task</i>,<u>accuracy</u>")
    assert EVIL in view.text("#panel-title")
    assert EVIL in view.text("#panel .ledger")
    for box in view.all(".box[role=button]"):
        view.script("arguments[0].dispatchEvent(new MouseEvent('click'))", box)
    assert f"{EVIL}</script>" in view.texts("#detail")[0] or view.texts("#detail .notice")
    made_of_names = (
        "b:not(:is(.number, dd, p, figcaption) > b), u, s, img:not([loading]), [onerror]"
    )
    assert view.texts(made_of_names) == []
    assert len(view.all("script")) == 2
    assert view.complaints() == []
    assert evil.is_file()


# --- appearances ------------------------------------------------------------------------------


def colours(page):
    style = page.script(
        "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
    )
    return [sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in style]


def test_it_is_dark_for_those_who_prefer_it_and_can_be_switched(page):
    page.media(prefers_color_scheme="light")
    paper, ink = colours(page)
    assert paper > 200 > 100 > ink
    page.media(prefers_color_scheme="dark")
    paper, ink = colours(page)
    assert ink > 200 > 100 > paper
    page.one("#theme").click()
    assert page.text("#theme") == "Theme: light"
    assert colours(page)[0] > 200
    page.one("#theme").click()
    page.one("#theme").click()
    assert page.text("#theme") == "Theme: system"


def test_the_switch_is_remembered(view, made):
    view.open(made / INDEX)
    view.one("#theme").click()
    view.open(made / INDEX)
    assert view.text("#theme") == "Theme: light"
    view.one("#theme").click()
    view.one("#theme").click()


def test_nothing_moves_for_those_who_do_not_want_it(page):
    animation = "return getComputedStyle(document.getElementById('panel')).animationName"
    page.open_number(CELL)
    page.media(prefers_reduced_motion="no-preference")
    assert page.script(animation) == "enter"
    page.media(prefers_reduced_motion="reduce")
    assert page.script(animation) == "none"


def test_a_phone_shows_it_without_scrolling_sideways(view, made):
    view.resize(375, 812)
    view.open(made / INDEX)
    assert view.script("return document.documentElement.scrollWidth") <= 375
    numbers = view.script(
        "return [...document.querySelectorAll('.number')].map(n => {"
        "const b = n.getBoundingClientRect(); return [b.left, b.right]})"
    )
    assert all(0 <= left < right <= 375 for left, right in numbers)
    view.open_number(CELL)
    assert (
        view.script("return document.getElementById('panel').getBoundingClientRect().width") == 375
    )
    body = "document.getElementById('panel-body')"
    assert view.script(f"return {body}.scrollWidth <= {body}.clientWidth")
    smallest = view.script(
        "return Math.min(...[...document.querySelectorAll('#panel :is(text, dd, p, td)')].map"
        "(t => parseFloat(getComputedStyle(t).fontSize)))"
    )
    assert smallest >= 10


def test_a_printer_gets_the_whole_table_and_no_controls(view, tmp_path):
    view.open(build(tmp_path, models=[f"model-{n}" for n in range(24)]))
    scrolls = (
        "const g = document.getElementById('grid'); return g.scrollHeight > g.clientHeight + 1"
    )
    assert view.script(scrolls)
    view.media("print")
    assert not view.script(scrolls)
    assert not any(e.is_displayed() for e in view.all(".tools, #theme"))
    view.media()
    view.open_number("model-0,cgp,speaker,accuracy")
    view.media("print")
    assert not view.one("main").is_displayed()
    assert view.one("#panel .lineage").is_displayed()


# --- what is wrong ----------------------------------------------------------------------------


def test_problems_are_shown_where_they_are(view, changed):
    broken = "results/pretrain/bat-mini/early"
    (changed / broken / RECIPE).unlink()
    view.open(remake(changed))
    assert f"{broken}: has no recipe.json" in view.text("#problems")
    view.open_number(CELL)
    wrong = view.all(".box.wrong")
    assert [box.get_attribute("data-index") for box in wrong] == [
        str(view.script("return DATA.records.findIndex(r => r.folder === arguments[0])", broken))
    ]
    view.script("arguments[0].dispatchEvent(new MouseEvent('click'))", wrong[0])
    assert "has no recipe.json" in view.text("#detail")
    view.keys(Keys.ESCAPE)
    view.open_number("eat-mini,cgp,speaker,accuracy")
    assert view.all(".box.wrong") == []


def test_numbers_that_depend_on_a_problem_are_marked_and_can_be_filtered(view, changed):
    (changed / "data/tokens/eat-mini/late/mixture" / RECIPE).unlink()
    view.open(remake(changed))
    expected = [
        f"eat-mini,{method},mixture,{metric}"
        for method in ("cgp", "lp")
        for metric in ("accuracy", "mAP")
    ]
    assert view.texts(".number.wrong em") == ["!"] * 4
    view.choose("#of-verdict", "depends on a problem")
    assert view.shown() == expected
    view.open_number(expected[0])
    assert "data/tokens/eat-mini/late/mixture: has no recipe.json" in view.text("#panel .notice")


# --- who ran it -------------------------------------------------------------------------------


def test_a_number_that_others_reran_is_marked(view, changed):
    mark = Mark(
        state="independently rerun", by=["me@example.org"], chain=True, certificates=["me.json"]
    )
    with contextlib.chdir(changed):
        data = gather(judgement=Judgement(marks={CELL: mark}))
        (changed / INDEX).write_text(render(data), "utf-8")
    view.open(changed / INDEX)
    assert "1 independently rerun" in view.text("#overview")
    marked = view.all(".number.independent")
    assert [view.number(CELL)] == marked
    assert "independently rerun by me@example.org" in marked[0].get_attribute("aria-label")
    dot = "return getComputedStyle(arguments[0], '::after').backgroundColor"
    assert view.script(dot, marked[0]) != view.script(dot, view.one(".number.own"))
    view.open_number(CELL)
    who = "independently rerun by me@example.org, with everything behind it"
    assert who in view.text("#panel .headline")


# --- claims -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Cells for which the paper prints values: BAT on ESC-50."""
    folder = tmp_path_factory.mktemp("judged")
    # Printed: CGP 94.55 ± 1.2, ProtoBin 95.75, fine-tuning 95.95, LP 90.55 or so.
    centres = {
        "BAT,cgp,ESC-50,accuracy": (0.9455, 0.0004),
        "BAT,protobin,ESC-50,accuracy": (0.5, 0.0004),
        "BAT,lp,ESC-50,accuracy": (0.9, 0.05),
    }
    build(folder, models=["BAT"], methods=["cgp", "protobin", "lp"], tasks=["ESC-50"],
          centres=centres, clips=2000, clip_deviation=0.0005)  # fmt: skip
    return folder


def test_verdicts_stand_beside_their_numbers_with_colour_and_sign(view, judged):
    view.open(judged / INDEX)
    signs = view.script(
        "return Object.fromEntries([...document.querySelectorAll('.number')].map(n =>"
        "[cellName(DATA.cells[n.dataset.cell]), [n.querySelector('em')?.textContent ?? '',"
        " getComputedStyle(n.querySelector('em') ?? n).color]]))"
    )
    assert signs["BAT,cgp,ESC-50,accuracy"][0] in "≈="
    assert signs["BAT,protobin,ESC-50,accuracy"][0] == "≠"
    assert signs["BAT,lp,ESC-50,accuracy"][0] == "?"
    assert len({colour for sign, colour in signs.values() if sign in "≈≠?"}) >= 3
    view.choose("#of-verdict", "different")
    assert "BAT,protobin,ESC-50,accuracy" in view.shown()
    assert "BAT,lp,ESC-50,accuracy" not in view.shown()


def test_a_number_with_a_claim_says_what_is_printed_and_why_it_differs(view, judged):
    view.open(judged / INDEX)
    view.open_number("BAT,protobin,ESC-50,accuracy")
    shown = view.text("#panel .claim-view")
    claims = view.script("return DATA.claims.filter(c => c.cell === DATA.cells.findIndex(k => "
                         "cellName(k) === 'BAT,protobin,ESC-50,accuracy'))")  # fmt: skip
    assert claims[0]["printed"] in shown and claims[0]["reason"] in shown
    assert "different" in shown and "± " in shown
    check = view.texts(".spread .claim title")
    assert check == [f"the paper: {claim['printed']} %" for claim in claims]


def test_all_claims_are_listed_with_their_coverage_and_can_be_filtered(view, judged):
    view.open(judged / INDEX)
    claims = view.script("return DATA.claims")
    attempted = [claim for claim in claims if claim["verdict"] != "not attempted"]
    assert len(claims) == 254 and attempted
    assert view.text("#coverage") == f"{len(attempted)} of 254 printed values were attempted."
    listed = view.texts("#claim-list tbody tr")
    assert len(listed) == 254
    assert all("not attempted" not in text for text in listed[: len(attempted)])
    view.choose("#claim-verdict", "different")
    rows = [row.text for row in view.all("#claim-list tbody tr") if row.is_displayed()]
    assert len(rows) == sum(claim["verdict"] == "different" for claim in claims) > 0
    assert view.text("#claim-count") == f"{len(rows)} of 254 claims"
    view.choose("#claim-verdict", "")
    view.one("#claim-search").send_keys("sslam hsn")
    rows = [row.text for row in view.all("#claim-list tbody tr") if row.is_displayed()]
    assert rows and all("SSLAM" in row and "HSN" in row for row in rows)


def test_a_claim_leads_to_its_number(view, judged):
    view.open(judged / INDEX)
    view.one("#claim-list tbody a").click()
    view.until("return document.getElementById('panel').open")
    assert view.text("#panel-title").startswith("BAT · ")


def test_what_the_paper_says_in_words_is_there_with_its_outcome(view, judged):
    view.open(judged / INDEX)
    texts = view.texts("#statements summary")
    assert any(text.startswith("CGP is at least as good as LP") for text in texts)
    assert all(re.search(r"(holds|hold|undecided|not attempted)$", text) for text in texts)


def test_numbers_of_claims_resolve_too(view, judged):
    view.open(judged / INDEX)
    check_numbers(view, judged, names(read_cells(judged / "results/tables/cells.json")))


# --- many numbers -----------------------------------------------------------------------------


def test_a_panel_is_made_when_it_is_opened_and_gone_when_it_is_closed(page):
    made = "return document.getElementById('panel-body').childElementCount"
    assert page.script(made) == 0
    page.open_number(CELL)
    assert page.script(made) == 1
    page.keys(Keys.ESCAPE)
    page.until(f"{made} === 0")


def test_a_narrower_and_a_wider_search_leave_nothing_behind(page):
    """Rows that are left out are not touched; they must be right when they come back."""
    every = page.search("")
    for words in ("mixture map", "eat-mini", "none", "lp", "speaker accuracy", "bat-mini cgp"):
        found = page.search(words)
        assert found == [n for n in every if all(w in n.lower() for w in words.split())]
    assert page.search("") == every


def test_groups_off_the_screen_are_not_laid_out(view, tmp_path):
    view.open(build(tmp_path, models=[f"model-{n:02}" for n in range(60)]))
    skipped = view.script(
        "return [...document.querySelectorAll('#grid .group')].map(g =>"
        "!g.querySelector('.number').checkVisibility({contentVisibilityAuto: true}))"
    )
    assert skipped[0] is False
    assert sum(skipped) > 0.5 * len(skipped)
    # The keyboard still gets there.
    tab_to(view, "e.dataset.cell !== undefined")
    view.with_control(Keys.END)
    assert current(view) == "model-59,lp,mixture,mAP"
