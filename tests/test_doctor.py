"""What the doctor finds, and what it says to do about it; SLURM's commands are stand-ins."""

import pytest
from typer.testing import CliRunner

from bat import doctor
from bat.cli import app
from bat.doctor import Level, examine

CONFIG = """Configuration data as of now
AccountingStorageType   = accounting_storage/none
JobRequeue              = 1
KillWait                = 30 sec
MinJobAge               = 300 sec
SLURM_VERSION           = 22.05.8
"""
PARTITIONS = "PartitionName=main PreemptMode=REQUEUE\nPartitionName=spare PreemptMode=CANCEL\n"


class Cluster:
    """Stand-ins for SLURM's commands in a folder of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.says("scontrol", CONFIG)
        self.says("sinfo", "main|1-00:00:00|(null)\ngpu|infinite|gpu:a100:8\n")
        self.says("squeue", "")
        self.says("sbatch", "")

    def says(self, command, text, status=0):
        answer = self.folder / f"{command}.txt"
        answer.write_text(text)
        script = self.folder / command
        other = self.folder / "partition.txt"
        script.write_text(
            f'#!/bin/sh\n[ "$2" = partition ] && exec cat {other}\ncat {answer}\nexit {status}\n'
        )
        script.chmod(0o755)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "partition.txt").write_text("PartitionName=main PreemptMode=REQUEUE\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("BAT_SITE", str(tmp_path / "site.yaml"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.yaml").write_text("partition: main\nmaximum_runtime_min: 720\n")
    return Cluster(tmp_path / "bin")


def findings(level=None):
    return [f for f in examine() if level is None or f.level is level]


def note_about(text):
    (found,) = [f for f in findings(Level.NOTE) if text in f.text]
    return found


def test_every_note_says_what_to_do(cluster):
    cluster.says("scontrol", CONFIG.replace("300", "30").replace("= 1", "= 0"))
    assert all(f.remedy for f in findings() if f.level is not Level.FINE)


def test_a_sound_cluster_gets_no_note_but_about_the_gpu(cluster):
    assert [f.text for f in findings(Level.NOTE) if "GPU" not in f.text] == []
    assert not findings(Level.STOP)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("MinJobAge               = 300", "MinJobAge               = 60", "after 60 s"),
        ("JobRequeue              = 1", "JobRequeue              = 0", "does not requeue"),
        ("KillWait                = 30", "KillWait                = 5", "killed 5 s after"),
    ],
)
def test_settings_that_cost_work_are_named(cluster, old, new, text):
    cluster.says("scontrol", CONFIG.replace(old, new))
    note_about(text)


def test_accounting_that_does_not_answer_is_named(cluster):
    cluster.says("scontrol", CONFIG.replace("/none", "/slurmdbd"))
    cluster.says("sacct", "", status=1)
    note_about("sacct fails")


def test_partitions_that_preempt_by_cancelling_are_named(cluster):
    (cluster.folder / "partition.txt").write_text(PARTITIONS)
    assert note_about("cancelled, not requeued").text.endswith("in: spare")


def test_a_site_file_that_the_cluster_does_not_know_is_compared_with_it(cluster, tmp_path):
    (tmp_path / "site.yaml").write_text(
        "partition: long\ngpu_partition: main\ngpu_type: h100\nmaximum_runtime_min: 2880\n"
    )
    assert "main, gpu" in note_about("partition long").text
    note_about("gpu_partition main allows 1-00:00:00")
    assert "gpu:a100:8" in note_about("gpu_type h100").text


def test_a_broken_site_file_stops_a_run(cluster, tmp_path):
    (tmp_path / "site.yaml").write_text("queue: main\n")
    (found,) = findings(Level.STOP)
    assert "queue: unknown key" in found.text
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 1


def test_jobs_whose_snakemake_is_gone_are_listed_with_their_numbers(cluster, tmp_path):
    cluster.says("squeue", f"12|RUNNING|bat_x|1:00|rule_a|{tmp_path}\n13|PENDING|x|0:00||/\n")
    found = note_about("whose Snakemake is gone")
    assert "1 jobs of" in found.text
    assert found.remedy.endswith("scancel 12")


def test_jobs_of_a_living_snakemake_are_no_orphans(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "living_run", lambda folder: "Snakemake (process 1 on here)")
    cluster.says("squeue", f"12|RUNNING|bat_x|1:00|rule_a|{tmp_path}\n")
    assert any("run by Snakemake" in f.text for f in findings(Level.FINE))


def test_without_slurm_a_local_run_is_fine(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    note_about("no SLURM here")
    assert not findings(Level.STOP)


def test_a_controller_that_does_not_answer_is_told_from_none(cluster):
    cluster.says("scontrol", "", status=1)
    note_about("does not answer")


def test_a_full_disk_stops_a_run(cluster, monkeypatch):
    monkeypatch.setattr(doctor, "_MINIMUM_DISK_BYTES", 1e18)
    (found,) = findings(Level.STOP)
    assert "GB free" in found.text
