"""Cores are those this process may use, not those of the machine, and are shared out among processes."""

import os

import pytest

from components.workspace import threads_per_process


def test_threads_are_shared_out_and_never_none():
    assert threads_per_process(10_000) == 1
    assert threads_per_process() == len(os.sched_getaffinity(0))


def test_a_process_bound_to_one_core_gets_one_thread():
    allowed = os.sched_getaffinity(0)
    if len(allowed) == 1:
        pytest.fail("this test shows something only where two cores or more may be used")
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert threads_per_process() == 1
    finally:
        os.sched_setaffinity(0, allowed)
