"""Every way in which SLURM ends a job is understood, and ends well; with stages made for it."""

import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]


@pytest.fixture(scope="module")
def ended(disturbed):
    """The stages after all that was done to them."""
    cluster, snakemake = disturbed
    assert snakemake.wait(timeout=400) == 0, cluster.output()[-3000:]
    return cluster


def trace(cluster, rule):
    lines = (cluster.folder / f"{rule}.trace").read_text().splitlines()
    return [line.split() for line in lines]


def test_a_time_limit_is_announced_reaches_the_stage_and_is_followed_by_another_attempt(ended):
    words = [event[0] for event in trace(ended, "limited")]
    assert words[:3] == ["start", "SIGUSR1", "SIGTERM"]
    last = trace(ended, "limited")[-1]
    assert (last[0], last[2]) == ("start", "2")
    (first,) = [state for job, state, *_ in ended.jobs() if job == trace(ended, "limited")[0][1]]
    assert first == "TIMEOUT"


def test_a_stage_that_saved_its_state_runs_again_under_the_same_number(ended):
    starts = [event for event in trace(ended, "again") if event[0] == "start"]
    assert {attempt for _, _, attempt, _ in starts} == {"1"}
    assert len({job for _, job, *_ in starts}) == 1
    assert [restart for *_, restart in starts][:2] == ["0", "1"]


def test_a_job_that_is_preempted_by_cancelling_is_submitted_again(ended):
    starts = [event for event in trace(ended, "lost") if event[0] == "start"]
    assert [attempt for _, _, attempt, _ in starts] == ["1", "2"]
    assert len({job for _, job, *_ in starts}) == 2
    (first,) = [state for job, state, *_ in ended.jobs() if job == starts[0][1]]
    assert first == "PREEMPTED"
