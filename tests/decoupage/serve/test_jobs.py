"""The queue around stand-in work: places, positions, ends of every kind, and that no job or folder is left."""

import threading
import time
from dataclasses import replace

import pytest

from decoupage.serve.jobs import Full, Jobs, Limits, Stopped
from tests.browser import wait

LIMITS = Limits(max_jobs=3, run_s=60, left_s=60, keep_s=60)


class Work:
    """Steps one at a time, each when it is let go."""

    def __init__(self):
        self.gate, self.seen = threading.Semaphore(0), []

    def __call__(self, task, out, after_step):
        self.seen.append(task)
        if isinstance(task, Exception):
            raise task
        for number in range(task):
            assert self.gate.acquire(timeout=30)
            (out / f"{number}.txt").write_text("made")
            after_step()


@pytest.fixture
def work():
    return Work()


@pytest.fixture
def make(work, tmp_path):
    made = []

    def make(**changes):
        made.append(Jobs(work, tmp_path, replace(LIMITS, **changes)))
        return made[-1]

    yield make
    for jobs in made:
        jobs.end()
        work.gate.release(1000)
        assert jobs.close(10)


def started(jobs, task, num_steps=3, attended=False):
    job = jobs.reserve()
    (job.given / "photo").write_text("given")
    job.task = task
    jobs.start(job, num_steps, attended=attended)
    return job


def running(jobs, job):
    wait(lambda: job.state == "running", "the job to run")


def test_jobs_are_done_in_order_and_say_how_far_they_are(make, work):
    jobs = make()
    first = started(jobs, 2)
    running(jobs, first)
    second, third = started(jobs, 1), started(jobs, 1)
    assert [jobs.position(job) for job in (first, second, third)] == [0, 1, 2]
    with pytest.raises(Full):
        jobs.reserve()
    work.gate.release()
    wait(lambda: first.step == 1, "a step")
    work.gate.release(3)
    for job in (first, second, third):
        assert job.ended.result(10) is None and job.state == "done" and not job.given.exists()
    assert {path.name for path in first.made.iterdir()} == {"0.txt", "1.txt"}
    assert work.seen == [2, 1, 1] and jobs.reserve()


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_after_its_step(make, work):
    jobs = make()
    first = started(jobs, 3)
    running(jobs, first)
    second = started(jobs, 3)
    jobs.drop(second)
    assert second.state == "cancelled" and jobs.find(second.id) is None and not second.folder.exists()
    jobs.stop(first, "cancelled")
    assert first.state == "running"
    work.gate.release()
    with pytest.raises(Stopped, match="cancelled"):
        first.ended.result(10)
    assert first.step == 1 and work.seen == [3]


def test_a_running_job_that_is_forgotten_leaves_no_files(make, work, tmp_path):
    jobs = make()
    job = started(jobs, 3)
    running(jobs, job)
    jobs.drop(job)
    work.gate.release()
    with pytest.raises(Stopped):
        job.ended.result(10)
    assert list(tmp_path.iterdir()) == [] and jobs.counts() == {}


def test_time_is_up(make, work):
    jobs = make(run_s=0.01)
    job = started(jobs, 3)
    running(jobs, job)
    time.sleep(0.05)
    work.gate.release()
    with pytest.raises(Stopped, match="too long"):
        job.ended.result(10)


@pytest.mark.parametrize("attended", [True, False])
def test_who_leaves_stops_the_job_and_who_waits_does_not(make, work, attended):
    jobs = make(left_s=0.05)
    job = started(jobs, 1, attended=attended)
    running(jobs, job)
    time.sleep(0.2)
    work.gate.release()
    fault = job.ended.exception(10)
    assert (fault is None) if attended else (isinstance(fault, Stopped) and fault.why == "left")


def test_a_waiting_job_that_nobody_asks_for_gives_its_place_back(make, work):
    jobs = make(left_s=0.2, max_jobs=2)
    first = started(jobs, 1, attended=True)
    running(jobs, first)
    second = started(jobs, 1)
    with pytest.raises(Full):
        jobs.reserve()
    time.sleep(0.3)
    assert jobs.reserve() and second.state == "cancelled"


def test_asking_keeps_a_job(make, work):
    jobs = make(left_s=0.5)
    job = started(jobs, 1)
    for _ in range(8):
        time.sleep(0.1)
        assert jobs.find(job.id) is job
    work.gate.release()
    assert job.ended.result(10) is None


def test_results_are_removed_after_a_while_and_of_many_the_oldest(make, work):
    jobs = make(keep_s=0.5, max_kept=2)
    work.gate.release(3)
    made = [started(jobs, 1) for _ in range(3)]
    for job in made:
        job.ended.result(10)
    assert [jobs.find(job.id) is not None for job in made] == [False, True, True]
    assert not made[0].folder.exists() and made[1].made.exists()
    time.sleep(0.6)
    assert jobs.find(made[1].id) is None and not made[1].folder.exists()


def test_a_fault_is_the_jobs_own_and_the_worker_goes_on(make, work):
    jobs = make()
    fault = started(jobs, ValueError("mask is empty"))
    with pytest.raises(ValueError, match="mask is empty"):
        fault.ended.result(10)
    assert fault.state == "failed"
    work.gate.release()
    assert started(jobs, 1).ended.result(10) is None


def test_the_end_stops_all_and_takes_no_more(make, work):
    jobs = make()
    first = started(jobs, 2)
    running(jobs, first)
    second, late = started(jobs, 2), jobs.reserve()
    jobs.end()
    with pytest.raises(Stopped, match="closing"):
        second.ended.result(1)
    with pytest.raises(Stopped, match="closing"):
        jobs.reserve()
    late.task = 1
    jobs.start(late, 1, attended=True)
    assert isinstance(late.ended.exception(1), Stopped)
    work.gate.release()
    assert jobs.close(10) and isinstance(first.ended.exception(1), Stopped)


def test_a_place_is_not_given_to_others_while_its_body_comes(make):
    jobs = make(max_jobs=1)
    job = jobs.reserve()
    assert jobs.find(job.id) is None  # Nobody has been told its id.
    with pytest.raises(Full):
        jobs.reserve()
    jobs.drop(job)
    assert jobs.reserve()
