"""The published method's own vectors."""

import shutil

import pytest
import torch

from bat.conformance.run import check_folder, print_report

from .folders import GOLDEN

CASES = sorted({path.stem for path in GOLDEN.iterdir()} - {"INDEX"})


@pytest.fixture(scope="module")
def outcomes():
    return {outcome.name: outcome for outcome in check_folder(GOLDEN)}


@pytest.mark.parametrize("case", CASES)
def test_a_case_of_the_published_method_passes(outcomes, case):
    assert outcomes[case].passed, outcomes[case].detail


def test_no_case_is_left_out(outcomes):
    assert sorted(outcomes) == CASES


def test_the_report_has_one_line_per_case_and_the_number_that_passed(capsys):
    print_report(GOLDEN)
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == f"{len(CASES)} of {len(CASES)} cases passed"
    assert sorted(line.split()[0] for line in lines) == CASES
    assert {line.split()[2] for line in lines} == {"pass"}
    assert all(float(line.split()[1]) >= 0 for line in lines)
    assert len({line.index("  pass  ") for line in lines}) == 1


def test_the_number_of_threads_is_left_as_it_was_and_does_not_matter(tmp_path):
    shutil.copy(GOLDEN / "frontend_legacy.safetensors", tmp_path)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        (outcome,) = check_folder(tmp_path)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert outcome.error < 2e-5
