"""A wrong parameter is one line that names the key, what was found and what is allowed."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bat.errors import BatError
from bat.params import load, parse
from params.conftest import REPOSITORY, at, default_content, with_change

NAMED_BY_THE_USER = {"tasks", "groups", "frontends", "models", "probes"}


def sections(content, path=()):
    """Paths of every section whose keys the schema fixes."""
    if path not in {(name,) for name in NAMED_BY_THE_USER}:
        yield path
    for key, value in content.items():
        if isinstance(value, dict):
            yield from sections(value, (*path, key))


SECTIONS = sorted(sections(default_content()))


def complaint(content):
    with pytest.raises(BatError) as caught:
        parse(content, "mine.yaml")
    text = str(caught.value)
    assert len(text.splitlines()) == 1, text
    assert text.startswith("mine.yaml: ")
    return text.removeprefix("mine.yaml: ")


def complaint_about(dotted, value):
    content = default_content()
    *section, key = dotted.split("/")
    at(content, *section)[key] = value
    return complaint(content)


def test_the_default_parameters_are_valid():
    params = load(REPOSITORY / "params.yaml")
    assert params.folds == [f"meeting-{index}" for index in range(5)]
    assert {params.group_of(fold) for fold in params.folds} == set(params.groups)


def test_a_pretraining_group_never_tests_on_what_it_hears():
    params = load(REPOSITORY / "params.yaml")
    for fold in params.folds:
        assert fold not in params.groups[params.group_of(fold)].pretrain


def test_a_fold_that_no_group_tests_on_is_named():
    with pytest.raises(BatError, match=r"unknown fold 'meeting-9'; known: meeting-0, "):
        load(REPOSITORY / "params.yaml").group_of("meeting-9")


# --- unknown keys -----------------------------------------------------------------------------


@pytest.mark.parametrize("section", SECTIONS, ids=lambda path: ".".join(path) or "(top)")
def test_an_unknown_key_is_named_with_its_value_and_what_is_allowed(section):
    content = default_content()
    here = at(content, *section)
    allowed = sorted(here)
    here["surprise"] = 17
    text = complaint(content)
    start = ".".join([*section, "surprise"]) + ": unknown key (value 17); allowed: "
    assert text.startswith(start)
    named = text.removeprefix(start).split(", ")
    assert set(named) >= set(allowed)
    assert "surprise" not in named


@settings(max_examples=40)
@given(
    section=st.sampled_from(SECTIONS),
    key=st.text(min_size=1, max_size=12),
    value=st.one_of(
        st.none(), st.integers(), st.text(), st.lists(st.text(max_size=3)), st.floats()
    ),
)
def test_any_unknown_key_gives_one_line(section, key, value):
    content = default_content()
    here = at(content, *section)
    known = key in here or key in ("inner", "inner_sha256")
    here[key] = value
    if not known:
        text = complaint(content)
        assert "unknown key (value " in text
        assert (key if key.isprintable() else repr(key)) in text


# --- wrong values -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dotted", "value"),
    [
        ("data/rate_hz", "16000"),
        ("data/rate_hz", 16000.0),
        ("data/rate_hz", True),
        ("data/rate_hz", None),
        ("data/rate_hz", 0),
        ("data/clip_s", "1.0"),
        ("data/clip_s", True),
        ("data/clip_s", [1.0]),
        ("data/clip_s", float("nan")),
        ("data/clip_s", float("inf")),
        ("data/minimum_rms", float("nan")),
        ("data/maximum_bad_share", 1.5),
        ("frontends/bat/standardise", 1),
        ("frontends/legacy/standardise", False),
        ("models/bat-mini/encoder/position_order", "sideways"),
        ("models/bat-mini/pretraining/ema/start", "0.999"),
        ("models/bat-mini/pretraining/decoder/depth", 2.0),
        ("models/bat-mini/pretraining", 3),
        ("models/bat-mini/encoder", None),
        ("probes/cgp/dropout", -0.1),
        ("probes/lp/pooling", "max"),
        ("finetuning/learning_rate", 0),
        ("finetuning/betas", 0.9),
        ("seeds/pretrain", -1),
        ("statistics/seed", -1),
        ("tasks/mixture/mixing/seed", "7"),
        ("source/sha256", "ABC"),
        ("grain/probe", "clip"),
        ("compute/float32_matmul_precision", "low"),
        ("pretraining_clips", None),
    ],
)
def test_a_wrong_value_is_shown_beside_its_key(dotted, value):
    text = complaint_about(dotted, value)
    assert text.startswith(dotted.replace("/", ".") + ": ")
    assert f"found {value!r}" in text


@pytest.mark.parametrize(("dotted", "length"), [("finetuning/betas", 1), ("finetuning/betas", 3)])
def test_a_list_of_the_wrong_length_is_named(dotted, length):
    assert complaint_about(dotted, [0.9] * length).startswith("finetuning.betas: ")


def test_an_entry_of_a_list_is_named_by_its_index():
    assert complaint_about("finetuning/betas", [0.9, "x"]).startswith("finetuning.betas.1: ")


def test_a_long_value_is_cut_short():
    assert len(complaint_about("data/rate_hz", "x" * 100_000)) < 200


@pytest.mark.parametrize("section", SECTIONS[1:], ids=".".join)
def test_a_missing_key_is_named(section):
    content = default_content()
    here = at(content, *section)
    key = next(key for key in here if key not in ("kind", "inner", "inner_sha256"))
    del here[key]
    text = complaint(content)
    assert text.startswith(".".join([*section, key]) + ": this key is missing")


def test_a_missing_section_is_named():
    content = default_content()
    del content["seeds"]
    assert complaint(content) == "seeds: this key is missing"


@pytest.mark.parametrize(
    ("section", "kinds"),
    [
        ("source", ["package-index", "file"]),
        ("tasks/mixture", ["multi-class", "multi-label"]),
        ("frontends/bat", ["bat", "legacy"]),
        ("models/bat-mini/pretraining/decoder", ["vit", "cnn"]),
        ("probes/lp", ["lp", "lcgp", "cgp", "protobin", "head2toe"]),
    ],
)
def test_an_unknown_kind_is_told_the_known_ones(section, kinds):
    text = complaint_about(f"{section}/kind", "novel")
    assert text.startswith(section.replace("/", ".") + ": ")
    assert "'novel'" in text
    for kind in kinds:
        assert f"'{kind}'" in text
    content = default_content()
    del at(content, *section.split("/"))["kind"]
    assert "its key 'kind' is missing" in complaint(content)


# --- references and consistency ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("dotted", "known"),
    [
        ("models/eat-mini/frontend", "bat, legacy"),
        ("baseline/frontend", "bat, legacy"),
        ("pretraining_clips", "speaker, mixture"),
        ("figures/sweep/model", "bat-mini, eat-mini, random-init"),
        ("figures/sweep/task", "speaker, mixture"),
        ("figures/blocks/task", "speaker, mixture"),
        ("figures/frontends/task", "speaker, mixture"),
        ("figures/sweep/probe", "cgp"),
        ("figures/blocks/linear_probe", "lp"),
        ("figures/blocks/gated_probe", "cgp"),
    ],
)
def test_a_reference_to_something_undefined_is_told_what_is_defined(dotted, known):
    text = complaint_about(dotted, "elsewhere")
    assert text == f"{dotted.replace('/', '.')}: 'elsewhere' is not defined; allowed: {known}"


def test_a_probe_of_the_wrong_kind_cannot_stand_in_a_figure():
    assert "allowed: lp" in complaint_about("figures/blocks/linear_probe", "cgp")


def test_a_meeting_both_pretrained_and_tested_on_is_refused():
    text = complaint_about("groups/early/pretrain", ["meeting-0", "meeting-3"])
    assert text == "groups.early: ['meeting-3'] would be both pretrained and tested on"


@pytest.mark.parametrize("test", [["meeting-3", "meeting-3"], ["meeting-0", "meeting-3"]])
def test_a_meeting_tested_twice_is_refused(test):
    content = default_content()
    content["groups"]["early"] = {"pretrain": ["meeting-1"], "test": test}
    assert "is the test fold of more than one group" in complaint(content)


@pytest.mark.parametrize("side", ["pretrain", "test"])
def test_a_group_with_an_empty_side_is_refused(side):
    assert "groups.early: needs meetings" in complaint_about(f"groups/early/{side}", [])


@pytest.mark.parametrize("section", sorted(NAMED_BY_THE_USER))
def test_an_empty_section_is_refused(section):
    complaint_about(section, {})


@pytest.mark.parametrize(
    ("dotted", "values"),
    [
        ("seeds/probe", [0, 0]),
        ("seeds/finetune", [1, 2, 1]),
        ("tasks/speaker/metrics", ["mAP", "mAP"]),
        ("figures/sweep/prototypes", [4, 4]),
    ],
)
def test_doing_the_same_thing_twice_is_refused(dotted, values):
    text = complaint_about(dotted, values)
    assert text.startswith(dotted.replace("/", ".") + ": ")
    assert "only once" in text
    assert complaint_about(dotted, []).startswith(dotted.replace("/", "."))


def test_warm_up_must_end_before_training_does():
    steps = default_content()["finetuning"]["steps"]
    text = complaint_about("finetuning/warmup_steps", steps)
    assert text == f"finetuning: warmup_steps {steps} must be below steps {steps}"


def test_heads_must_divide_the_width():
    content = default_content()
    content["models"]["bat-mini"]["encoder"] |= {"width": 192, "heads": 5}
    assert "models.bat-mini.encoder: width 192 must be divisible by heads 5" in complaint(content)


# --- names become folders ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../up", "a/b", "a\\b", "..", ".hidden", "-option", "", "two words", "new\nline", "line\n",
        "$(touch x)", "`x`", "a;b", "a|b", "a&b", "a'b", 'a"b', "a*b", "{x}", "a@b", "a=b", "é",
        "x" * 65, 1, None, True,
    ],
)  # fmt: skip
def test_names_that_a_shell_or_a_path_would_notice_are_refused(name):
    content = default_content()
    content["models"][name] = next(iter(content["models"].values()))
    text = complaint(content)
    assert text.startswith("models.")
    assert f"found {name!r}"[:60] in text


@pytest.mark.parametrize("section", sorted(NAMED_BY_THE_USER))
def test_every_section_of_names_obeys_the_rule(section):
    content = default_content()
    content[section]["a/b"] = next(iter(content[section].values()))
    assert complaint(content).startswith(f"{section}.a/b: string should match pattern")


def test_names_of_meetings_obey_the_same_rule():
    assert "groups.early.test.1: " in complaint_about("groups/early/test", ["meeting-3", "a/b"])


@pytest.mark.parametrize(
    ("section", "name"), [("tasks", "ledger"), ("models", "log-mel"), ("probes", "finetune")]
)
def test_names_of_the_pipelines_own_files_and_rows_are_taken(section, name):
    content = default_content()
    content[section][name] = next(iter(content[section].values()))
    assert complaint(content) == f"{section}.{name}: the pipeline itself uses this name"


def test_no_meeting_is_called_like_the_part_of_all_meetings():
    groups = {"one": {"pretrain": ["meeting-0"], "test": ["all"]}}
    assert complaint_about("groups", groups).startswith("groups: 'all' ")


def test_parameters_cannot_be_changed_after_validation():
    params = with_change("data/rate_hz", 8000)
    with pytest.raises(ValueError, match="frozen"):
        params.data.rate_hz = 16000


# --- the file itself --------------------------------------------------------------------------


def complaint_about_file(path, content):
    path.write_bytes(content)
    with pytest.raises(BatError) as caught:
        load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert len(text.splitlines()) == 1
    return text


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(BatError, match="no such parameter file"):
            load(path)


def test_a_key_that_stands_twice_is_refused(tmp_path):
    text = (REPOSITORY / "params.yaml").read_text("utf-8") + "\nseeds: {}\n"
    found = complaint_about_file(tmp_path / "p.yaml", text.encode())
    assert "not a valid YAML file" in found
    assert '"seeds"' in found


@pytest.mark.parametrize(
    "content",
    [
        b"data: [1, 2", b"data: \xff\xfe", b"a: 1\n\tb: 2\n", b"a: \x00", b"a: !!python/name:os {}",
        b"a: &x 1\nb: *y\n", b"---\na: 1\n---\nb: 2\n", b"\x89PNG\r\n\x1a\n\x00\x00",
    ],
)  # fmt: skip
def test_a_file_that_is_not_yaml_is_refused(tmp_path, content):
    assert "not a valid YAML file" in complaint_about_file(tmp_path / "p.yaml", content)


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"- a\n- b\n", b"just text\n", b"42\n"])
def test_a_file_that_holds_no_sections_is_refused(tmp_path, content):
    assert "should be a valid dictionary" in complaint_about_file(tmp_path / "p.yaml", content)


@pytest.mark.parametrize("spelling", ["1e-3", "1.0e-3", "1E-3", "0.001", "1e-03", ".001"])
def test_every_spelling_of_a_number_is_that_number(tmp_path, spelling):
    text = (REPOSITORY / "params.yaml").read_text("utf-8")
    head, _, tail = text.partition("finetuning:")
    changed, times = re.subn(r"(\n  learning_rate: )\S+", rf"\g<1>{spelling}", tail, count=1)
    assert times == 1
    path = tmp_path / "p.yaml"
    path.write_text(f"{head}finetuning:{changed}", encoding="utf-8")
    assert load(path) == with_change("finetuning/learning_rate", 0.001)


@pytest.mark.parametrize("spelling", ["1e", "1,5", "0.1.2", "1e-3x", ".nan", ".inf", "yes"])
def test_what_is_no_number_is_refused(tmp_path, spelling):
    text = (REPOSITORY / "params.yaml").read_text("utf-8")
    path = tmp_path / "p.yaml"
    found = complaint_about_file(
        path, re.sub(r"clip_s: \S+", f"clip_s: {spelling}", text, count=1).encode()
    )
    assert "data.clip_s: " in found
