"""The site file: optional, checked, and read by the profile through the environment."""

import os

import pytest
from ruamel.yaml import YAML

from bat.errors import BatError
from bat.site import Site, read_site, serve_site
from pipeline.tiny import REPOSITORY


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"]})
    return os.environ


def test_without_a_file_everything_is_left_to_the_cluster(tmp_path):
    assert read_site(tmp_path / "site.yaml") == Site()


def test_the_example_has_every_key_and_says_what_holds_without_it():
    example = REPOSITORY / "slurm" / "site.example.yaml"
    assert read_site(example) == Site()
    assert set(YAML(typ="safe").load(example.read_text())) == set(Site.model_fields)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("queue: main", "queue: unknown key .* allowed: partition, gpu_partition"),
        ("partition: a; rm -rf /", "partition: .*found 'a; rm"),
        ("pretraining_gpus: 0", "pretraining_gpus: .*found 0"),
        ("maximum_runtime_min: 2-00:00:00", "maximum_runtime_min"),
        ("partition: [", "not a valid YAML file"),
    ],
)
def test_a_mistake_is_named_with_the_file_and_the_key(tmp_path, content, message):
    (tmp_path / "site.yaml").write_text(content)
    with pytest.raises(BatError, match=rf"site\.yaml: {message}"):
        read_site(tmp_path / "site.yaml")


def test_the_profile_reads_names_from_the_environment(tmp_path, environment):
    (tmp_path / "site.yaml").write_text("partition: short\ngpu_type: a100\n")
    environment["BAT_SITE"] = str(tmp_path / "site.yaml")
    serve_site()
    assert environment["BAT_SITE_PARTITION"] == "short"
    assert environment["BAT_SITE_GPU_PARTITION"] == "short"
    assert environment["BAT_SITE_GPU_TYPE"] == "a100"
    assert environment["BAT_SITE_ACCOUNT"] == ""


def test_every_name_that_a_profile_reads_is_served(environment):
    import re

    serve_site()
    for profile in (REPOSITORY / "slurm").rglob("config.yaml"):
        for name in re.findall(r"\$(\w+)", profile.read_text()):
            assert name in environment, (profile, name)


def test_scratch_is_for_jobs_and_made_on_their_node(tmp_path, environment):
    (tmp_path / "site.yaml").write_text(f"scratch: {tmp_path}/$USER/tmp\n")
    environment.update(BAT_SITE=str(tmp_path / "site.yaml"), USER="me")
    serve_site()
    assert "TMPDIR" not in environment
    environment["SLURM_JOB_ID"] = "1"
    serve_site()
    assert environment["TMPDIR"] == f"{tmp_path}/me/tmp"
    assert (tmp_path / "me" / "tmp").is_dir()


def test_a_scratch_that_cannot_be_made_is_named(tmp_path, environment):
    (tmp_path / "file").write_text("")
    (tmp_path / "site.yaml").write_text(f"scratch: {tmp_path}/file/tmp\n")
    environment.update(BAT_SITE=str(tmp_path / "site.yaml"), SLURM_JOB_ID="1")
    with pytest.raises(BatError, match="scratch of the site file"):
        serve_site()
