import pytest

from bat.errors import BatError
from bat.params import parse
from bat.variants import block_methods, resolve, variant
from params.conftest import default_content


@pytest.fixture(scope="module")
def params():
    return parse(default_content(), "params.yaml")


def test_a_probe_without_a_change_is_itself(params):
    for name, probe in params.probes.items():
        assert resolve(params, name) == probe


def test_a_variant_differs_in_one_setting_only(params):
    base = params.probes["cgp"].model_dump()
    other = base.pop("prototypes") + 1
    changed = resolve(params, variant(params, "cgp", "prototypes", other)).model_dump()
    assert changed.pop("prototypes") == other
    assert changed == base


def test_a_variant_that_changes_nothing_is_the_probe_itself(params):
    assert variant(params, "cgp", "prototypes", params.probes["cgp"].prototypes) == "cgp"
    assert block_methods(params, "bat-mini")[-1] == "lp"


def test_a_variant_may_be_negative_and_keeps_its_kind(params):
    probe = resolve(params, "lp@block=-2")
    assert (probe.kind, probe.block) == ("lp", -2)


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
        ("cgp@prototypes=0", "greater than or equal to 1"),
        ("cgp@block=1", "cgp@block=1: block=1: Extra inputs"),
        ("cgp@kind=1", "kind=1"),
        ("cgp@warmup_steps=9999999", "warmup_steps 9999999 must be below steps"),
        ("cgp@prototypes=4@block=1", "expected cgp@key=number"),
    ],
)
def test_a_method_that_cannot_be_is_explained_in_one_line(params, method, problem):
    with pytest.raises(BatError) as caught:
        resolve(params, method)
    assert problem in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "http" not in str(caught.value)
