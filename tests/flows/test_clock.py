"""Hosts' clocks differ: the server's decides over runs, and a host whose clock is far off takes none."""

from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.orchestration import get_client

from flows import clock, working

pytestmark = [pytest.mark.flow, pytest.mark.slow]


@pytest.fixture
def ahead(prefect_api, monkeypatch):
    """Set this host's clock an hour ahead, for what reads it."""
    monkeypatch.setattr(clock, "_here", lambda: datetime.now(UTC) + timedelta(hours=1))


def test_the_servers_time_is_its_own(ahead):
    with get_client(sync_client=True) as client:
        assert abs(clock.server_time(client) - datetime.now(UTC)) < timedelta(seconds=10)


def test_a_worker_an_hour_ahead_takes_no_runs_and_says_what_to_do(ahead):
    with pytest.raises(ValueError, match=r"this machine's clock is 3,\d+ s ahead of the server's; set it before"):
        working.work({"kintsugi": 1}, grace_s=1)


def test_a_clock_that_is_right_to_seconds_will_do(prefect_api):
    with get_client(sync_client=True) as client:
        clock.check_clock(client)
