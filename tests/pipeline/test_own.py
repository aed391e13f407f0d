"""A user's own encoder and own data: entries in the parameters, and nothing else."""

import csv
import re
import shutil

import pytest
from ruamel.yaml import YAML

from fixtures.layouts import make_csv, sound, write_audio
from pipeline.conftest import MAIN, new_experiment
from pipeline.tiny import REPOSITORY, tinier_params

pytestmark = pytest.mark.pipeline
SHORT = {"steps": 3, "warmup_steps": 1, "batch_size": 8}


def yaml(text):
    return YAML(typ="safe", pure=True).load(text)


def yaml_of_document(name):
    """The first YAML block of a document."""
    text = (REPOSITORY / "docs" / name).read_text("utf-8")
    return yaml(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])


def own_params():
    """The example for own data, made short."""
    params = yaml((REPOSITORY / "examples" / "own-data.yaml").read_text("utf-8"))
    params["models"]["bat-small"]["pretraining"] |= SHORT | {"views": 2}
    for probe in params["probes"].values():
        probe.update(SHORT)
    params["finetuning"] |= SHORT
    params["seeds"]["probe"] = [0]
    params["statistics"]["bootstrap_resamples"] = 20
    return params


def of_splits(params):
    """Read a column of splits in place of folds; one model and one method will do."""
    task = params["tasks"]["species"]
    task["folds"] = {
        "kind": "split", "train": ["train"], "validation": ["validation"], "test": ["test"],
    }  # fmt: skip
    task["methods"] = ["lp"]
    params["groups"] = {"all": {"pretrain": ["train"], "test": ["test"]}}
    params["models"] = {"random-init": params["models"]["random-init"]}
    return params


def forty_files(folder, **options):
    """40 files of five kinds and rates and of several lengths, and a table of them."""
    labels = ("robin", "wren")
    make_csv(folder, table="files.csv", labels=labels, files=7, seconds=1.5, **options)
    for number, seconds in ((1, 0.4), (5, 3.2), (20, 2.5)):
        (path,) = (folder / "sounds").glob(f"*/{number:03d}.*")
        kind = number // 7 % len(labels)
        waveform = sound(kind, seconds=seconds, rate_hz=16_000, seed=number)
        write_audio(path, waveform, 16_000)
    table = folder / "files.csv"
    lines = table.read_text("utf-8").splitlines(keepends=True)
    table.write_text("".join(lines[:41]), "utf-8")


def rows(experiment):
    return list(csv.DictReader(experiment.read(MAIN).decode().splitlines()))


def errors(done):
    """What a command that fails says is wrong, without the time of day."""
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert "Traceback" not in output
    return re.findall(r"^(?:[\d:]{8} )?error: (.*)$", output, re.MULTILINE)


# --- an own encoder ---------------------------------------------------------------------------


def test_the_documents_entries_add_rows_for_encoders_and_columns_for_a_data_set(tmp_path):
    params = tinier_params()
    models = yaml_of_document("own-model.md")["models"]
    assert {entry["encoder"]["kind"] for entry in models.values()} == {"timm", "adapter"}
    data = yaml_of_document("own-data.md")
    params["datasets"] |= data["datasets"]
    params["tasks"] |= data["tasks"]
    params["tasks"]["species"]["methods"] = ["lp"]
    params["tasks"]["speaker"]["methods"] = ["lp", "finetune"]
    params |= {"models": models, "baseline": None, "figures": {}}
    make_csv(tmp_path / "raw" / "own", table="files.csv", labels=("robin", "wren"))
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    experiment = new_experiment(tmp_path, params)
    experiment.build(MAIN)
    found = rows(experiment)
    expected = {(model, method) for model in models for method in ("lp", "finetune")}
    assert {(row["model"], row["method"]) for row in found} == expected
    for row in found:
        assert row["speaker accuracy n_clips"] == "120"
        assert row["species accuracy n_clips"] == ("12" if row["method"] == "lp" else "")

    adapter = tmp_path / "examples" / "my_encoder.py"
    adapter.write_text(adapter.read_text("utf-8") + "# a remark\n", "utf-8")
    # Of the two models: its two groups are made anew, and what depends on them.
    planned = experiment.planned()
    assert (planned["pretrain"], planned["probe"], planned["finetune"]) == (2, 2, 1)


def test_the_example_of_an_encoder_is_about_thirty_lines():
    text = (REPOSITORY / "examples" / "my_encoder.py").read_text("utf-8")
    code = re.sub(r'""".*?"""', "", text, flags=re.DOTALL).splitlines()
    assert sum(bool(line.strip()) and not line.strip().startswith("#") for line in code) <= 35


# --- own data ---------------------------------------------------------------------------------


def test_forty_files_of_mixed_kinds_in_folds_give_rows_with_one_command(tmp_path):
    forty_files(tmp_path / "raw" / "own")
    params = own_params()
    experiment = new_experiment(tmp_path, params)
    (tmp_path / "params.yaml").rename(tmp_path / "own.yaml")
    experiment.build("--configfile", "own.yaml", "--cores", "2", MAIN)
    methods = params["tasks"]["species"]["methods"]
    expected = {(model, method) for model in params["models"] for method in methods}
    found = rows(experiment)
    assert {(row["model"], row["method"]) for row in found} == {
        *expected,
        ("log-mel", "logistic-regression"),
    }
    for row in found:
        assert (row["species accuracy n_clips"], row["species accuracy n_folds"]) == ("40", "3")
        assert 0 <= float(row["species accuracy"]) <= 100


def test_forty_files_with_several_labels_in_splits_give_rows_with_one_command(tmp_path):
    forty_files(tmp_path / "raw" / "own", column="split", several_labels=True)
    params = of_splits(own_params())
    params["tasks"]["species"] |= {
        "kind": "multi-label", "loss": "asymmetric", "metrics": ["mAP", "F1"],
    }  # fmt: skip
    experiment = new_experiment(tmp_path, params)
    experiment.build(MAIN)
    found = rows(experiment)
    assert [row["method"] for row in found] == ["lp", "logistic-regression"]
    assert {row["species mAP n_clips"] for row in found} == {"12"}


# --- bad input --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def few_files(tmp_path_factory):
    """Twelve short files in folds and in splits; do not change them, copy them."""
    folder = tmp_path_factory.mktemp("few")
    for column in ("fold", "split"):
        options = {"labels": ("robin", "wren"), "seconds": 0.3}
        make_csv(folder / column, table="files.csv", column=column, **options)
    return folder


@pytest.fixture
def own(few_files, tmp_path):
    """Return a function that makes an experiment of the few files, its table edited."""

    def make(column="fold", edit=lambda lines: lines, params=None):
        folder = tmp_path / "raw" / "own"
        shutil.copytree(few_files / column, folder)
        table = folder / "files.csv"
        lines = edit(table.read_text("utf-8").splitlines())
        table.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        default = own_params() if column == "fold" else of_splits(own_params())
        return new_experiment(tmp_path, params or default)

    return make


def resampled(experiment):
    done = experiment.bat("inventory", "--dataset", "own", "--out", "data/source/own")
    assert done.returncode == 0, done.stderr
    return experiment.bat(
        "resample", "--dataset", "own", "--source", "data/source/own/inventory.parquet",
        "--out", "data/pcm/own",
    )  # fmt: skip


def line(number, new):
    return lambda lines: [*lines[: number - 1], new, *lines[number:]]


def added(new):
    return lambda lines: [*lines, new]


BAD_TABLES = {
    "missing file": (
        "fold",
        line(4, "sounds/1/002.waf,wren,1"),
        "line 4: no such file in the data set's folder: 'sounds/1/002.waf'",
    ),
    "unknown label": (
        "fold",
        line(4, "sounds/1/002.mp3,wern,1"),
        "line 4: unknown label 'wern', expected one of robin, wren",
    ),
    "duplicate path": (
        "fold",
        added("sounds/1/001.flac,robin,1"),
        "line 14: 'sounds/1/001.flac' is already in line 3",
    ),
    "train and test": (
        "split",
        added("sounds/train/001.flac,robin,test"),
        "line 14: 'sounds/train/001.flac' is in split test, but in split train in line 3",
    ),
    "class without files in a fold": (
        "fold",
        lambda lines: [text for text in lines if not text.endswith("wren,2")],
        "line 4: the class 'wren' of this line has no file in fold 2",
    ),
    "class of the test split only": (
        "split",
        lambda lines: [text for text in lines if not text.endswith("wren,train")],
        "line 6: the class 'wren' of split validation is not in split train",
    ),
}


@pytest.mark.parametrize(("column", "edit", "expected"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_bad_table_is_one_message_with_the_line_number(own, column, edit, expected):
    params = own_params() if column == "fold" else of_splits(own_params())
    params["datasets"]["own"]["layout"]["classes"] = ["robin", "wren"]
    (found,) = errors(resampled(own(column, edit, params)))
    assert found.startswith(f"files.csv, {expected}"), found


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_table_in_another_encoding_is_one_message_with_the_line_number(own, encoding):
    experiment = own(edit=line(4, "sounds/1/002.mp3,zaunkönig,1"))
    table = experiment.folder / "raw/own/files.csv"
    table.write_bytes(table.read_text("utf-8").encode(encoding))
    (found,) = errors(resampled(experiment))
    place = {"latin-1": 4, "utf-16": 1}[encoding]
    assert found == f"files.csv, line {place}: expected text in UTF-8, found another encoding"


def test_a_file_that_cannot_be_decoded_is_one_message_with_the_line_number(own):
    experiment = own()
    (experiment.folder / "raw/own/sounds/1/002.mp3").write_text("no sound at all")
    (found,) = errors(resampled(experiment))
    assert "; the first: files.csv, line 4: sounds/1/002.mp3: corrupt: " in found


def test_what_was_mended_is_read_anew(own):
    experiment = own(edit=line(4, "sounds/1/002.waf,wren,1"))
    (found,) = errors(experiment.snakemake("all_recordings"))
    assert "line 4: no such file" in found
    folder = experiment.folder / "raw" / "own"
    shutil.copy(folder / "sounds/1/002.mp3", folder / "sounds/1/002.waf")
    experiment.build("all_recordings")
    assert experiment.planned("all_recordings") == {}
    table = (folder / "files.csv").read_text("utf-8")
    (folder / "files.csv").write_text(table.replace("robin,1", "wren,1"), "utf-8")
    (found,) = errors(experiment.snakemake("all_recordings"))
    assert "the class 'robin' of this line has no file in fold 1" in found


def test_two_labels_of_a_clip_are_refused_by_a_multi_class_task(own):
    experiment = own(edit=line(4, "sounds/1/002.mp3,wren;robin,1"))
    (found,) = errors(experiment.snakemake("all_manifests"))
    assert found.startswith("species: a multi-class task wants one label per clip")
    assert found.endswith("the first: sounds/1/002.mp3: robin;wren")


def test_parts_that_the_table_has_not_are_refused_with_those_that_it_has(own):
    params = own_params()
    params["tasks"]["species"]["folds"]["parts"] = ["fold-1", "fold-2", "fold-three"]
    params["groups"] = {
        name: {"pretrain": ["fold-1"], "test": test}
        for name, test in {"a": ["fold-2", "fold-three"]}.items()
    }
    params["groups"]["b"] = {"pretrain": ["fold-2"], "test": ["fold-1"]}
    (found,) = errors(own(params=params).snakemake("all_manifests"))
    assert "the parameters name the parts fold-three" in found
    assert "fold-1, fold-2, fold-3" in found


def test_clips_of_many_lengths_need_samples(own):
    params = own_params()
    params["tasks"]["species"]["input"]["samples"] = None
    experiment = own(params=params)
    path = experiment.folder / "raw/own/sounds/1/003.wav"
    write_audio(path, sound(0, seconds=0.5, rate_hz=16_000, seed=1), 16_000)
    (found,) = errors(experiment.snakemake("all_spectrograms"))
    assert "expected clips of one length" in found
    assert "give the input's samples" in found
