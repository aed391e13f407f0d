"""What goes into the page, looked at without a browser."""

import contextlib
import json
import re
from pathlib import Path

import pytest

from audit.conftest import INDEX, build, remake
from audit.made_experiment import TABLES, Made
from bat.audit.page.command import write_page
from bat.audit.page.gather import gather
from bat.audit.page.judgement import Judgement
from bat.audit.page.render import embedded_json, render
from bat.audit.verification import KEPT, keep, read_kept, verify_folders
from bat.errors import BatError
from bat.evaluation.cells import CELLS, read_cells
from bat.provenance.recipe import RECIPE, read_recipe
from provenance.conftest import flip

EVIL = "<img src=x onerror=alert(1)>.wav</script><!--\u2028\u2029&amp;"


@contextlib.contextmanager
def gathered(folder):
    with contextlib.chdir(folder):
        yield gather()


def records_on_disk(folder):
    return {read_recipe(path.parent).id: path.parent for path in folder.rglob(RECIPE)}


def test_the_page_holds_every_cell_as_the_table_has_it(made):
    with gathered(made) as data:
        cells = read_cells(made / TABLES / CELLS)
        assert len(data.cells) == len(cells) == 16
        for shown, cell in zip(data.cells, cells, strict=True):
            for name in ("model", "task", "mean", "std", "low", "high", "n_clips", "record"):
                assert getattr(shown, name) == getattr(cell, name)
            runs = [
                (fold.fold, seed, value)
                for fold in shown.folds
                for seed, value in zip(fold.seeds, fold.values, strict=True)
            ]
            assert runs == [(r.fold, r.seed, round(100 * r.value, 2)) for r in cell.runs]


def test_every_index_points_at_what_the_record_on_disk_says(made):
    with gathered(made) as data:
        assert data.problems == []
        for record in data.records:
            recipe = read_recipe(made / record.folder)
            assert data.hashes[record.id] == recipe.id
            assert data.settings[record.settings] == recipe.settings
            assert [data.hashes[o.sha256] for o in record.outputs] == [
                o.sha256 for o in recipe.outputs
            ]
            for known, given in zip(record.inputs, recipe.inputs, strict=True):
                assert data.hashes[known.sha256] == given.sha256
                assert data.records[known.record].id == known.recipe
                assert data.records[known.record].folder == given.path.rpartition("/")[0]
            modules = [data.modules[place] for place in data.codes[record.code].modules]
            assert {name: data.hashes[sha256] for name, sha256 in modules} == recipe.code


def test_inputs_come_before_what_was_made_from_them(made):
    with gathered(made) as data:
        for index, record in enumerate(data.records):
            assert all(known.record < index for known in record.inputs)


def test_whatever_is_shared_is_there_once(made):
    with gathered(made) as data:
        assert len(set(data.hashes)) == len(data.hashes)
        assert len({record.folder for record in data.records}) == len(data.records)
        assert len(data.codes) == len(data.environments) == 1
        text = embedded_json(data)
        assert all(text.count(sha256) == 1 for sha256 in data.hashes)


def test_more_cells_cost_no_more_each(tmp_path):
    """The page grows with what is new; nothing is repeated for every cell."""
    each = []
    for count in (2, 8):
        models = [f"model-{n}" for n in range(count)]
        folder = tmp_path / str(count)
        folder.mkdir()
        page = build(folder, models=models)
        text = re.search(r'id="data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)[1]
        each.append(len(text) / len(json.loads(text)["cells"]))
    assert each[1] < each[0]


def test_the_same_records_give_the_same_bytes(made):
    before = (made / INDEX).read_bytes()
    assert remake(made).read_bytes() == before
    assert [path.name for path in (made / INDEX).parent.glob(".*")] == []


def test_no_text_can_leave_its_script_element(tmp_path):
    page = build(tmp_path, recording=EVIL, note=EVIL).read_text("utf-8")
    data = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1]
    assert not set(data) & set("<>&\u2028\u2029")
    assert EVIL in json.dumps(json.loads(data), ensure_ascii=False)


def test_what_is_put_in_is_not_looked_at_again(tmp_path):
    page = build(tmp_path, note="{{ script }}{{ data }}").read_text("utf-8")
    assert page.count("{{ script }}{{ data }}") > 1  # as text in the data
    assert page.count("function buildGrid()") == 1


def test_the_policy_allows_this_style_and_script_and_nothing_else(made):
    with gathered(made) as data:
        page = render(data)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert all(rules[kind].startswith("'sha256-") for kind in ("style-src", "script-src"))
    assert "unsafe" not in policy and "http" not in policy
    assert not re.search(r"\son\w+=|javascript:", page.split('id="data"')[0])


def test_the_markup_names_no_other_file(made):
    page = (made / INDEX).read_text("utf-8")
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert set(re.findall(r'(?:src|href)="([^"]*)"', markup)) == {
        "data:,", "#results", "#claims", "#figures",
    }  # fmt: skip
    assert "@import" not in page and "url(" not in page


def test_without_a_table_there_is_no_page(here):
    with pytest.raises(BatError, match=r"cells\.json: not there; build the table first"):
        write_page(here / INDEX)
    assert not (here / INDEX).exists()


# --- what is wrong is shown, not refused ------------------------------------------------------


def problems(folder):
    with gathered(folder) as data:
        return [
            (problem.text, [data.records[index].folder for index in problem.records])
            for problem in data.problems
        ]


def test_a_record_that_is_gone_is_shown_as_gone(changed):
    folder = "results/pretrain/bat-mini/early"
    (changed / folder / RECIPE).unlink()
    ((text, records),) = problems(changed)
    assert f"{folder}: has no recipe.json" in text and records == [folder]


def test_a_record_that_was_edited_is_shown_as_such(changed):
    folder = "data/manifest/speaker"
    flip(changed / folder / RECIPE, 200, 1)
    assert [records for text, records in problems(changed) if "recipe" in text] == [[folder]]


def test_a_record_that_was_made_anew_no_longer_fits_those_made_from_it(changed):
    rewritten = Made(changed)
    rewritten.record("data/source/meetings", "download", {}, {"archive": b"other"})
    assert problems(changed) == [
        (
            "data/pcm/meetings: was made from another version of data/source/meetings/archive",
            ["data/pcm/meetings"],
        )
    ]


def test_a_run_that_was_made_anew_no_longer_fits_its_cells(changed):
    folder = "results/probe/bat-mini/speaker/cgp/all"
    Made(changed).record(folder, "probe", {}, {"metrics.json": b"other"})
    found = [text for text, records in problems(changed) if records == [folder]]
    assert [text.partition(":")[0] for text in found] == [
        "bat-mini,cgp,speaker,accuracy",
        "bat-mini,cgp,speaker,mAP",
    ]


def test_a_table_that_was_edited_is_not_judged(changed):
    path = changed / TABLES / CELLS
    path.write_text(path.read_text("utf-8").replace('"n_clips": 1125', '"n_clips": 1126', 1))
    page = remake(changed).read_text("utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert data["claims"] == []
    (problem,) = data["problems"]
    assert problem["text"].startswith("results/tables/cells.json: changed after")
    assert problem["text"].endswith("; no claim was judged")
    assert [data["records"][index]["folder"] for index in problem["records"]] == [TABLES]


def test_a_record_behind_itself_ends_nothing(changed):
    """Hashes forbid it, so somebody would have to write it on purpose."""
    made = Made(changed)
    made.recipes["results/pretrain/bat-mini/early"] = read_recipe(
        changed / "results/pretrain/bat-mini/early"
    )
    made.record(
        "data/source/meetings",
        "download",
        {},
        {"archive": b"archive"},
        {"given": ["results/pretrain/bat-mini/early/encoder.safetensors"]},
    )
    assert any("another version" in text for text, _ in problems(changed))


def test_without_a_run_log_a_record_is_still_shown(changed):
    (changed / "data/source/meetings/run.json").unlink()
    with gathered(changed) as data:
        assert data.problems == []
        (source,) = [r for r in data.records if r.folder == "data/source/meetings"]
        assert source.run is None and source.id is not None


# --- the last verification ----------------------------------------------------------------------


def verified(folder):
    """Have everything verified, and return what was kept of it."""
    with contextlib.chdir(folder):
        keep(verify_folders([Path("data"), Path("results")]))
        return gather(judgement=Judgement(verification=read_kept()))


def test_the_last_verification_is_kept_and_shown(changed):
    data = verified(changed)
    by_command, by_workflow = data.verifications
    assert (by_command.what, by_command.problems) == ("by bat audit verify", 0)
    assert by_command.of_this_table and by_command.files > by_workflow.files
    assert data.problems == []


def test_what_the_last_verification_found_is_shown_with_its_record(changed):
    flip(changed / "results/pretrain/bat-mini/early/encoder.safetensors", 0)
    data = verified(changed)
    assert data.verifications[0].problems == 1
    (problem,) = data.problems
    assert "encoder.safetensors: changed after" in problem.text
    folders = [data.records[index].folder for index in problem.records]
    assert folders == ["results/pretrain/bat-mini/early"]


def test_what_was_found_of_another_table_is_not_said_of_this_one(changed):
    flip(changed / "results/pretrain/bat-mini/early/encoder.safetensors", 0)
    assert verified(changed).problems
    rewritten = Made(changed, centres={"bat-mini,cgp,speaker,accuracy": (0.5, 0.1)}).write()
    assert rewritten
    with contextlib.chdir(changed):
        data = gather(judgement=Judgement(verification=read_kept()))
    assert not data.verifications[0].of_this_table
    assert data.problems == []


def test_what_is_no_verification_is_refused(changed):
    (changed / KEPT).write_text("{}")
    with contextlib.chdir(changed), pytest.raises(BatError, match="not the outcome of a verif"):
        read_kept()
