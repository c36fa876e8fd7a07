"""Models that are worked on side by side come out as one after the other, and go on without one that fails."""

import re
import threading
import time
from contextvars import ContextVar
from itertools import pairwise

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from components.config import load
from components.launch import LaunchFailed
from components.report.older import read_content
from flows import side_by_side
from flows.side_by_side import models_at_once
from flows.side_by_side import side_by_side as together

pytestmark = [pytest.mark.flow, pytest.mark.timeout(400)]

TWO = "models_at_once=2"
DIVERGES = ("models.vae.recipe.optimizer={kind: adam, rate: 1e6}", "models.vae.training.guard.skips=0")
WEIGHTS = ("checkpoint/state.safetensors", "export/model.safetensors")


def whole(file):
    return file.read_bytes()


@pytest.fixture(scope="module")
def beside(carry_out, mini, tmp_path_factory):
    """Both models at once in a new workspace, to the page."""
    return carry_out(tmp_path_factory.mktemp("beside"), mini, TWO)


def spans(run):
    """Return when each task of the run began and ended, by name, once the server knows it."""
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while True:
            found = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.flow_run])))
            if len(found) >= 10 and all(task.end_time for task in found):
                return {re.sub(r"-[0-9a-f]+$", "", task.name): (task.start_time, task.end_time) for task in found}
            assert time.monotonic() < deadline, found
            time.sleep(0.5)


def test_both_models_are_under_way_at_once_and_each_goes_on_by_itself(beside):
    assert beside.state.is_completed(), beside.state
    found = spans(beside)
    assert max(found["train vae"][0], found["train inpainter"][0]) < min(
        found["train vae"][1], found["train inpainter"][1]
    )
    for model in ("vae", "inpainter"):
        stages = [found[f"{stage} {model}"] for stage in ("train", "evaluate", "promote")]
        assert all(before[1] <= after[0] for before, after in pairwise(stages))
    assert all(found["publish"][0] >= found[f"promote {model}"][1] for model in ("vae", "inpainter"))


def test_the_weights_are_those_of_models_trained_one_after_the_other_to_the_bit(beside, retrained):
    for one, other in zip(beside.result.candidates, retrained.result.candidates, strict=True):
        assert one.name == other.name
        assert one.checkpoint.digest == other.checkpoint.digest
        assert one.checkpoint.export == other.checkpoint.export
        assert [whole(one.checkpoint.path / file) for file in WEIGHTS] == [
            whole(other.checkpoint.path / file) for file in WEIGHTS
        ]
        assert one.evaluated.table == other.evaluated.table
        assert one.promotion.verdict == other.promotion.verdict == "promote"


def test_another_number_of_models_at_once_changes_nothing_else_and_makes_nothing_again(
    beside, carry_out, mini, launches
):
    before = launches(beside.home)
    again = carry_out(beside.home, mini, "models_at_once=1")
    assert launches(beside.home) == before
    first, second = (read_content((run.result.page.path / "page.json").read_bytes()) for run in (beside, again))
    assert first.run.config_digest == second.run.config_digest
    assert first.models == second.models


def test_one_that_fails_does_not_keep_the_other_from_service(carry_out, mini, tmp_path):
    run = carry_out(tmp_path, mini, TWO, *DIVERGES)
    with pytest.raises(
        LaunchFailed, match=r"^vae: rank 0 of 1 failed: DivergedError.*\n(.*\n)*The other.* page: file:"
    ):
        run.state.result()
    (page,) = (tmp_path / "store").glob("page/*/page.json")
    content = read_content(page.read_bytes())
    assert [(model.name, model.decision.verdict) for model in content.models] == [("inpainter", "promote")]
    assert [model.name for model in content.failed] == ["vae"]


def test_models_that_are_one_training_train_once(carry_out, vae_only, tmp_path, launches):
    models = load(vae_only).model_dump(mode="json", exclude_none=True)["models"]
    twin = f"models.twin={models['vae']}"
    run = carry_out(tmp_path, vae_only, TWO, twin, until="train")
    one, other = run.result.candidates
    assert (one.name, other.name) == ("vae", "twin")
    assert one.checkpoint == other.checkpoint
    assert len(launches(tmp_path)) == 1


@pytest.mark.parametrize(
    ("overrides", "cards", "expected"),
    [
        ((), 0, 1),
        ((), 1, 1),
        ((), 2, 2),
        ((), 8, 2),
        (("models.vae.execution.processes=4", "models.inpainter.execution.processes=4"), 4, 1),
        (("models.vae.execution.processes=4", "models.inpainter.execution.processes=4"), 8, 2),
        (("models_at_once=2",), 0, 2),
        (("models_at_once=5",), 0, 2),
        (("models_at_once=1",), 8, 1),
        (("models_at_once=2", "models.vae.execution.nodes=2"), 8, 1),
    ],
)
def test_as_many_models_are_worked_on_as_cards_reach_or_as_was_asked_for(overrides, cards, expected, mini, monkeypatch):
    monkeypatch.setattr(side_by_side, "cards_to_hold", lambda: cards)
    assert models_at_once(load(mini, overrides)) == expected


MARK: ContextVar[str] = ContextVar("mark", default="")


def test_jobs_return_in_their_order_and_know_what_the_caller_knows():
    MARK.set("here")
    both = threading.Barrier(2)

    def job(number: int) -> tuple[int, str]:
        both.wait(10)
        return number, MARK.get()

    jobs = [lambda number=number: job(number) for number in range(4)]
    assert together(jobs, 2, threading.Event()) == [(number, "here") for number in range(4)]


@pytest.mark.parametrize("error", [ValueError("a mistake"), KeyboardInterrupt("a signal")])
def test_what_one_job_raises_ends_the_others_and_is_raised_when_they_have_ended(error):
    asked, ended, begun = threading.Event(), [], threading.Event()

    def waits() -> None:
        begun.set()
        asked.wait(60)
        ended.append("waits")

    def raises() -> None:
        begun.wait(60)
        raise error

    def never() -> None:
        ended.append("never")

    with pytest.raises(type(error), match=str(error)):
        together([waits, raises, never], 2, asked)
    assert ended[0] == "waits"
