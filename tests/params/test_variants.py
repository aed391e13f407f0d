import pytest

from bat.errors import BatError
from bat.params import parse
from bat.variants import block_methods, sweep_methods, variant
from params.conftest import changed, default_content, wide_content

TASK = "speaker"


@pytest.fixture(scope="module")
def params():
    return parse(default_content(), "params.yaml")


@pytest.fixture(scope="module")
def wide_params():
    return parse(wide_content(), "params.yaml")


def test_a_probe_without_a_change_is_itself(params):
    for name, probe in params.probes.items():
        assert params.probe_of(TASK, name) == probe


def test_a_variant_differs_in_one_setting_only(params):
    base = params.probes["cgp"].model_dump()
    other = base.pop("prototypes") + 1
    method = variant(params, TASK, "cgp", "prototypes", other)
    assert method == f"cgp@prototypes={other}"
    found = params.probe_of(TASK, method).model_dump()
    assert found.pop("prototypes") == other
    assert found == base


def test_a_variant_that_changes_nothing_is_the_probe_itself(params):
    same = params.probes["cgp"].prototypes
    assert variant(params, TASK, "cgp", "prototypes", same) == "cgp"
    assert block_methods(params, TASK, "bat-mini")[-1] == "lp"


def test_a_variant_changes_what_the_task_has_made_of_the_probe(wide_params):
    assert variant(wide_params, "words", "cgp", "prototypes", 7) == "cgp"
    probe = wide_params.probe_of("words", "cgp@prototypes=9")
    assert (probe.prototypes, probe.batch_size) == (9, 13)
    assert wide_params.probe_of("words", "lp@block=-2").batch_size == 13


def test_a_variant_may_be_negative_and_keeps_its_kind(params):
    probe = params.probe_of(TASK, "lp@block=-2")
    assert (probe.kind, probe.block) == ("lp", -2)


def test_a_change_of_one_probe_wins_over_one_of_all():
    recipes = {"probes": {"steps": 90, "batch_size": 9}, "cgp": {"batch_size": 5}}
    params = parse(changed(default_content(), "tasks/speaker/recipes", recipes), "")
    assert (params.probe_of(TASK, "cgp").steps, params.probe_of(TASK, "cgp").batch_size) == (90, 5)
    assert params.probe_of(TASK, "lp").batch_size == 9
    assert params.probe_of("mixture", "lp") == params.probes["lp"]
    assert params.finetuning_of(TASK) == params.finetuning


def test_the_sweep_names_each_number_of_prototypes_once(params):
    methods = sweep_methods(params, TASK)
    assert methods == {"cgp@prototypes=8": 8, "cgp@prototypes=32": 32, "cgp": 128}


def test_the_blocks_of_a_model_are_all_probed_first_block_first(wide_params):
    assert block_methods(wide_params, TASK, "bat-mini") == ["lp@block=-3", "lp@block=-2", "lp"]
    assert block_methods(wide_params, TASK, "eat") == ["lp@block=-2", "lp"]
    assert len(block_methods(wide_params, "words", "timm")) == 12


def test_without_figures_there_are_no_variants():
    params = parse(changed(default_content(), "figures", {}), "")
    assert sweep_methods(params, TASK) == {}
    assert block_methods(params, TASK, "bat-mini") == []


@pytest.mark.parametrize(
    ("method", "problem"),
    [
        ("nope", "unknown method 'nope'; known: lp, lcgp, cgp, protobin, head2toe"),
        ("nope@prototypes=4", "unknown method"),
        ("", "unknown method ''"),
        ("cgp@", "expected cgp@key=number"),
        ("cgp@prototypes", "expected cgp@key=number"),
        ("cgp@prototypes=", "expected cgp@key=number"),
        ("cgp@prototypes=many", "expected cgp@key=number"),
        ("cgp@prototypes=4.5", "expected cgp@key=number"),
        ("cgp@prototypes=²", "expected cgp@key=number"),
        ("cgp@prototypes=0", "cgp@prototypes=0 on speaker: prototypes: "),
        ("cgp@block=1", "cgp@block=1 on speaker: block: "),
        ("cgp@kind=1", "kind=1 on speaker"),
        ("cgp@warmup_steps=9999999", "warmup_steps 9999999 must be below steps"),
        ("cgp@prototypes=4@block=1", "expected cgp@key=number"),
    ],
)
def test_a_method_that_cannot_be_is_explained_in_one_line(params, method, problem):
    with pytest.raises(BatError) as caught:
        params.probe_of(TASK, method)
    assert problem in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "http" not in str(caught.value)
