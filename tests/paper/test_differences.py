import io

import pytest
from pydantic import ValidationError
from rich.console import Console

from bat.errors import BatError
from bat.paper.differences import Difference, print_differences, read_differences, value_at
from paper.experiment import PARAMS, content, jobs, with_value

DIFFERENCES = read_differences()
SWITCHES = [switch for difference in DIFFERENCES for switch in difference.switches]
AS_WRITTEN = jobs(PARAMS)


def named(switch):
    return switch.parameter


def test_there_are_eighteen_differences_numbered_in_order():
    assert [difference.number for difference in DIFFERENCES] == list(range(1, 19))


def test_no_parameter_switches_twice():
    assert len({switch.parameter for switch in SWITCHES}) == len(SWITCHES)


@pytest.mark.parametrize("switch", SWITCHES, ids=named)
def test_the_experiment_is_on_a_side_of_every_switch(switch):
    assert value_at(content(), switch.parameter) in switch.values.values()


@pytest.mark.parametrize("switch", SWITCHES, ids=named)
def test_every_side_is_valid_and_other_sides_change_a_job(switch):
    here = value_at(content(), switch.parameter)
    for value in switch.values.values():
        params = with_value(switch.parameter, value)
        assert (jobs(params) != AS_WRITTEN) == (value != here)


@pytest.mark.parametrize("switch", SWITCHES, ids=named)
def test_the_sides_of_a_switch_differ(switch):
    values = list(switch.values.values())
    assert all(value not in values[:place] for place, value in enumerate(values))


def test_a_key_that_is_not_there_is_named():
    with pytest.raises(BatError, match=r"models\.NONE\.encoder: .*'NONE'"):
        value_at(content(), "models.NONE.encoder")
    with pytest.raises(BatError, match="'7'"):
        value_at(content(), "seeds.probe.7")
    assert value_at(content(), "seeds.probe.1") == 1


def test_a_difference_without_switch_must_say_why():
    known = dict.fromkeys(["title", "paper", "reference", "consequence", "choice"], "text")
    with pytest.raises(ValidationError, match="either switches or unswitchable"):
        Difference(number=1, **known)
    with pytest.raises(ValidationError, match="either switches or unswitchable"):
        switch = SWITCHES[0].model_dump()
        Difference(number=1, **known, switches=[switch], unswitchable="reason")


def printed(**options):
    stream = io.StringIO()
    print_differences(DIFFERENCES, console=Console(file=stream, width=300), **options)
    return stream.getvalue()


def test_all_that_is_known_is_printed():
    lines = printed()
    for difference in DIFFERENCES:
        assert f"{difference.number}. {difference.title}\n" in lines
        assert difference.choice in lines
    assert 'groups.as2m.pretrain: paper ["unbalanced_train"]' in lines
    assert "input.samples: reference 160000, other null" in lines


def test_what_an_experiment_has_is_printed_beside_the_sides():
    assert "pretraining.keep: reference student, other teacher, here student" in printed(
        experiment=content()
    )


def test_an_experiment_without_the_papers_models_is_printed_too():
    lines = [line.rstrip() for line in printed(experiment={"models": {}}).splitlines()]
    assert any(
        line.endswith("pretraining.keep: reference student, other teacher") for line in lines
    )
