"""Answers of squeue and sacct, as they were seen, and what the plugin is told."""

import pytest

from bat.slurm.status import Ends


def test_sacct_says_who_cancelled_and_the_plugin_hears_that_it_was():
    assert Ends().settle({"1": "CANCELLED by 1000", "2": "CANCELLED"}) == {
        "1": "CANCELLED",
        "2": "CANCELLED",
    }


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETED", "FAILED", "TIMEOUT"])
def test_words_that_the_plugin_knows_stay(state):
    ends = Ends()
    for _ in range(5):
        assert ends.settle({"1": state}) == {"1": state}


def test_a_preempted_job_that_does_not_come_back_is_cancelled():
    ends = Ends()
    told = [ends.settle({"1": "PREEMPTED"})["1"] for _ in range(3)]
    assert told == ["PREEMPTED", "CANCELLED", "CANCELLED"]


def test_a_preempted_job_that_returns_to_the_queue_is_waited_for():
    ends = Ends()
    answers = ["RUNNING", "PREEMPTED", "PENDING", "PREEMPTED", "RUNNING", "COMPLETED"]
    assert [ends.settle({"1": answer})["1"] for answer in answers] == answers


def test_a_job_that_slurm_forgot_is_over_and_its_outputs_decide():
    ends = Ends()
    ends.settle({"1": "RUNNING", "2": "RUNNING"})
    assert ends.settle({"2": "RUNNING"}) == {"2": "RUNNING"}
    assert ends.settle({"2": "RUNNING"}) == {"1": "UNKNOWN", "2": "RUNNING"}


def test_one_answer_without_a_job_means_nothing():
    ends = Ends()
    ends.settle({"1": "RUNNING"})
    assert ends.settle({}) == {}
    assert ends.settle({"1": "RUNNING"}) == {"1": "RUNNING"}
    assert ends.settle({}) == {}
