"""The benchmarks' harness says what was measured, and its whole run still works."""

import importlib
import json
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("harness")


@dataclass
class Steady:
    """A contender that takes the given seconds, in turn."""

    name: str
    units: float
    seconds: tuple[float, ...]
    seen: list[str] = field(default_factory=list)
    turn: int = 0

    def measure(self) -> object:
        self.seen.append(self.name)
        taken = self.seconds[self.turn % len(self.seconds)]
        self.turn += 1
        return sys.modules["harness"].Timing(taken, taken)


def figure(harness: ModuleType, ours: Steady, theirs: Steady, goal: float, check=lambda: "equal") -> object:
    return harness.Figure("a figure", "images", ours, [harness.Peer(theirs, goal)], check)


def test_a_ratio_is_of_rates_so_units_count(harness: ModuleType) -> None:
    measured = harness.compare(figure(harness, Steady("ours", 10, (1.0,)), Steady("peer", 5, (2.0,)), 4), rounds=2)
    assert measured["peers"][0]["ratio"]["wall"] == {"median": 4, "min": 4, "max": 4}
    assert measured["peers"][0]["verdict"] == "met by wall"
    assert measured["rounds"] == 2


def test_a_goal_just_missed_is_missed(harness: ModuleType) -> None:
    measured = harness.compare(figure(harness, Steady("ours", 1, (1.0,)), Steady("peer", 1, (2.0,)), 2.01), rounds=1)
    assert measured["peers"][0]["verdict"] == "missed by wall"


def test_rounds_are_added_while_ours_does_not_equal_ours(harness: ModuleType) -> None:
    ours = Steady("ours", 1, (9.0, 1.0, 2.0))  # the first warms up; then ours takes 1 s and its double 2 s
    measured = harness.compare(figure(harness, ours, Steady("peer", 1, (3.0,)), 2.0), rounds=1)
    assert measured["rounds"] == 3
    assert measured["clock"] is None
    assert measured["peers"][0]["verdict"] == "too noisy"


def test_a_goal_that_every_round_reaches_is_met_on_a_noisy_machine(harness: ModuleType) -> None:
    ratio = {"wall": {"median": 9.0, "min": 5.0, "max": 20.0}, "cpu": {"median": 8.0, "min": 4.0, "max": 9.0}}
    assert harness.verdict(ratio, 4.0, None) == "met in every round"
    assert harness.verdict(ratio, 4.5, None) == "too noisy"
    assert harness.verdict(ratio, 21.0, None) == "missed in every round"


def test_a_goal_of_processor_time_is_judged_by_it_alone(harness: ModuleType) -> None:
    ours, theirs = Steady("ours", 1, (1.0,)), Steady("peer", 1, (2.0,))
    measured = harness.compare(replace(figure(harness, ours, theirs, 2), clocks=("cpu",)), rounds=1)
    assert measured["peers"][0]["verdict"] == "met by cpu"


def test_unequal_work_is_never_timed(harness: ModuleType) -> None:
    def check() -> str:
        raise AssertionError("other pixels")

    ours = Steady("ours", 1, (1.0,))
    with pytest.raises(AssertionError, match="other pixels"):
        harness.compare(figure(harness, ours, Steady("peer", 1, (1.0,)), 1, check), rounds=1)
    assert ours.seen == []


def test_each_contender_opens_a_round_in_turn(harness: ModuleType) -> None:
    order: list[str] = []
    ours, theirs = Steady("ours", 1, (1.0,), order), Steady("peer", 1, (1.0,), order)
    harness.compare(figure(harness, ours, theirs, 1), rounds=3)
    warm, rounds = order[:2], [order[2 + start : 5 + start] for start in (0, 3, 6)]
    assert warm == ["ours", "peer"]
    assert rounds == [["ours", "peer", "ours"], ["peer", "ours", "ours"], ["ours", "ours", "peer"]]


def test_processor_time_of_a_function_is_counted_and_sleep_is_not(harness: ModuleType) -> None:
    busy = harness.Timed("busy", 1, lambda: sum(range(2_000_000))).measure()
    idle = harness.Timed("idle", 1, lambda: subprocess.run(["sleep", "0.2"], check=True)).measure()
    assert busy.cpu_s > 0.005
    assert idle.wall_s >= 0.2 > idle.cpu_s


@pytest.mark.slow
def test_a_small_run_writes_every_number_and_the_table_made_of_them(tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "run.py"), "--quick", "--only", "loading", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parents[1])
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "bench.json").read_text())
    table = (tmp_path / "bench.md").read_text()
    assert run["roofline"]["copy_gb_s"] > 0
    assert run["machine"]["packages"]["torch"] in table
    for figure in run["areas"]["loading"]:
        assert figure["figure"] in table
        assert figure["rounds"] >= 1
        assert all(peer["ratio"]["cpu"]["median"] > 0 for peer in figure["peers"])
