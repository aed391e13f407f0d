"""The table says what it found, also where that is not what was expected."""

import itertools

import polars as pl
import pytest

from bat.errors import BatError
from bat.evaluation.display import markdown_table, print_table
from bat.evaluation.expectations import Expectation, check_expectations

PRETRAINED = ["bat-mini", "eat-mini"]
MODELS = [*PRETRAINED, "random-init"]
METHODS = ["lp", "lcgp", "cgp"]
COLUMNS = [("speaker", "accuracy"), ("speaker", "mAP"), ("mixture", "mAP"), ("mixture", "F1")]


def long_table(means=None, models=MODELS, methods=(*METHODS, "finetune")):
    """A long table in which everything is 50 % but what ``means`` says."""
    means = means or {}
    cells = itertools.product(models, methods, COLUMNS)
    return pl.DataFrame(
        [
            {
                "model": model, "method": method, "task": task, "metric": metric,
                "mean": means.get((model, method, task, metric), 50.0),
                "std": 1.25, "low": 45.5, "high": 55.125,
                "n_clips": 120, "n_folds": 5, "n_seeds": 3, "record": "0" * 16,
                "comparison_set": None,
            }
            for model, method, (task, metric) in cells
        ]
    )  # fmt: skip


def expected_of(means=None, models=MODELS, methods=(*METHODS, "finetune"), pretrained=PRETRAINED):
    return check_expectations(long_table(means, models, methods), models, pretrained)


def markdown(long=None, expectations=(), confidence=0.95, columns=COLUMNS):
    long = long_table() if long is None else long
    return markdown_table(long, columns, list(expectations), confidence)


def find(expectations, larger, smaller, task="speaker"):
    (one,) = [e for e in expectations if (e.larger, e.smaller, e.task) == (larger, smaller, task)]
    return one


# --- expectations -----------------------------------------------------------------------------


def test_what_is_expected_of_every_pretrained_model():
    found = {(e.larger, e.smaller) for e in expected_of()}
    assert found == {
        (f"{model}, {method}", smaller)
        for model in ("bat-mini", "eat-mini")
        for method, smaller in (
            ("cgp", f"{model}, lp"),
            ("cgp", f"{model}, lcgp"),
            ("cgp", "random-init, cgp"),
            ("finetune", "random-init, finetune"),
        )
    }


def test_a_task_is_judged_by_its_first_metric_only():
    metrics = [(e.task, e.metric) for e in expected_of()]
    assert dict.fromkeys(metrics) == dict.fromkeys([("speaker", "accuracy"), ("mixture", "mAP")])


def test_an_expectation_holds_when_the_mean_is_larger_and_not_when_it_is_equal():
    cell = ("bat-mini", "cgp", "speaker", "accuracy")
    for mean, holds in ((50.01, True), (50.0, False), (49.99, False)):
        one = find(expected_of({cell: mean}), "bat-mini, cgp", "bat-mini, lp")
        assert one.holds is holds
        assert (one.larger_mean, one.smaller_mean) == (mean, 50.0)


def test_another_task_and_another_metric_do_not_count():
    means = {("bat-mini", "cgp", *column): 90.0 for column in COLUMNS[1:]}
    assert not find(expected_of(means), "bat-mini, cgp", "bat-mini, lp").holds
    assert find(expected_of(means), "bat-mini, cgp", "bat-mini, lp", "mixture").holds


def test_nothing_is_expected_where_there_is_nothing_to_compare():
    assert expected_of(models=["random-init"], pretrained=[]) == []
    without_cgp = expected_of(methods=["lp", "finetune"])
    assert {e.larger for e in without_cgp} == {"bat-mini, finetune", "eat-mini, finetune"}
    assert {e.smaller for e in expected_of(models=PRETRAINED)} == {
        f"{model}, {method}" for model in PRETRAINED for method in ("lp", "lcgp")
    }


def test_a_pretrained_model_that_is_not_measured_is_expected_nothing_of():
    table = long_table(models=["bat-mini", "random-init"])
    found = check_expectations(table, MODELS, PRETRAINED)
    assert not any("eat-mini" in f"{one.larger} {one.smaller}" for one in found)
    assert len(found) == 2 * 4


def test_what_was_measured_on_one_task_only_is_compared_there_only():
    gone = (pl.col("task") == "mixture") & (pl.col("method") == "lp")
    found = check_expectations(long_table().filter(~gone), MODELS, PRETRAINED)
    tasks = [one.task for one in found if one.smaller.endswith(", lp")]
    assert tasks == ["speaker", "speaker"]


# --- Markdown ---------------------------------------------------------------------------------


def expectation(larger, smaller):
    return Expectation(
        task="speaker", metric="accuracy", larger="bat-mini, cgp", smaller="bat-mini, lp",
        larger_mean=larger, smaller_mean=smaller,
    )  # fmt: skip


def rows(markdown):
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in markdown.splitlines()
        if line.startswith("|")
    ]


def test_markdown_has_a_row_per_model_and_method_and_a_column_per_metric():
    table = rows(markdown())
    assert table[0] == ["model", "method", *(f"{task} {metric}" for task, metric in COLUMNS)]
    assert len(table) == 2 + len(MODELS) * 4
    assert all(len(row) == 6 for row in table)
    assert table[2] == ["bat-mini", "lp", *["50.00 ± 1.25 [45.50, 55.12]"] * 4]


def test_markdown_leaves_out_what_was_not_measured():
    long = long_table().filter(~((pl.col("model") == "eat-mini") & (pl.col("metric") == "F1")))
    row = next(row for row in rows(markdown(long)) if row[0] == "eat-mini")
    assert row[-1] == ""
    assert row[-2] != ""


def test_the_columns_come_in_the_order_that_is_asked_for():
    columns = [*COLUMNS[2:], *COLUMNS[:2]]
    cell = ("bat-mini", "lp", "mixture", "mAP")
    table = rows(markdown(long_table({cell: 75.0}), columns=columns))
    assert table[0][2:] == [f"{task} {metric}" for task, metric in columns]
    assert table[2][2].startswith("75.00 ")


def test_markdown_counts_test_clips_and_names_the_interval():
    text = markdown(confidence=0.9)
    assert "90% bootstrap interval" in text
    assert "- speaker: 120 test clips in 5 folds" in text
    assert "- mixture: 120 test clips in 5 folds" in text


def test_a_comparison_set_is_named_beside_the_number_of_its_clips():
    of_set = pl.when(pl.col("task") == "mixture").then(pl.lit("both-copies (eval)"))
    text = markdown(long_table().with_columns(of_set.alias("comparison_set")))
    assert "- speaker: 120 test clips in 5 folds\n" in text
    assert "- mixture: 120 test clips in 5 folds, of the comparison set both-copies (eval)" in text


@pytest.mark.parametrize(
    "means", [[(60, 50)], [(50, 60)], [(60, 50), (40, 50), (50, 50), (30.004, 30.001)]]
)
def test_every_inequality_is_shown_and_every_failing_one_says_NO(means):  # noqa: N802
    expectations = [expectation(larger, smaller) for larger, smaller in means]
    text = markdown(expectations=expectations)
    shown = rows(text)[-len(means) :]
    for row, (larger, smaller) in zip(shown, means, strict=True):
        assert row == [
            "speaker", "accuracy", "bat-mini, cgp > bat-mini, lp",
            f"{larger:.2f} vs {smaller:.2f}", "yes" if larger > smaller else "NO",
        ]  # fmt: skip
    held = sum(larger > smaller for larger, smaller in means)
    assert f"{held} of {len(means)} inequalities hold" in text


def test_without_expectations_nothing_is_said_about_them():
    assert "inequalities" not in markdown()


# --- the terminal -----------------------------------------------------------------------------


def test_a_main_table_is_printed_with_its_spread(tmp_path, capsys):
    path = tmp_path / "main.csv"
    path.write_text(
        "model,method,speaker accuracy,speaker accuracy std,mixture mAP,mixture mAP std\n"
        "bat-mini,cgp,71.26,2.04,64.5,0.5\n"
        "log-mel,logistic-regression,78.1,0.0,,\n",
        encoding="utf-8",
    )
    print_table(path)
    out = capsys.readouterr().out
    assert "71.3 ± 2.0" in out
    assert "logistic" in out


def test_a_table_that_was_not_built_is_told_how_to_build_it(tmp_path):
    with pytest.raises(BatError, match=r"main\.csv: not there; build it: snakemake"):
        print_table(tmp_path / "main.csv")


@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff\x00", b"a,b\n1,2\n", b"model,method\n1\n2,3,4\n"]
)
def test_a_file_that_is_no_table_is_named(tmp_path, content):
    path = tmp_path / "main.csv"
    path.write_bytes(content)
    with pytest.raises(BatError, match=r"main\.csv: not a main table"):
        print_table(path)
