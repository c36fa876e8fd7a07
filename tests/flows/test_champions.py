"""Only the better model enters service, and what a person took out of service stays out.

The three retrainings happen one after the other in one workspace, each a fixture of the next.
"""

import pytest

from components.artifacts import Store
from components.config import load
from components.report.content import PageContent
from components.stages.plan import plan
from components.tracking import registry, runs
from flows import cli

pytestmark = [pytest.mark.flow, pytest.mark.timeout(400)]

NAME = "alone-vae"
LITTLE, MUCH = "models.vae.training.images=64", "models.vae.training.images=9_600"


@pytest.fixture(scope="module")
def rejected(published, carry_out, vae_only):
    """A challenger that saw too few images."""
    return carry_out(published.home, vae_only, LITTLE, until="promote").result.candidates[0].promotion


@pytest.fixture(scope="module")
def better(rejected, published, carry_out, vae_only):
    """A challenger that saw more, up to its page."""
    page = carry_out(published.home, vae_only, MUCH).result.page
    return PageContent.model_validate_json((page.path / "page.json").read_text())


@pytest.fixture(scope="module")
def withdrawn(better, published, carry_out, vae_only, at):
    """The better one again, after a person took it out of service."""
    with at(published.home):
        cli.command_line()(["rollback", NAME], exit_on_error=False, result_action="return_value")
        runs.configure(published.home)
        before = registry.champion(NAME)
    return before, carry_out(published.home, vae_only, MUCH, until="promote").result.candidates[0].promotion


def test_a_challenger_that_is_worse_is_rejected_and_the_champion_stays(rejected):
    assert (rejected.verdict, rejected.version, rejected.judged_against, rejected.champion) == ("reject", 2, 1, 1)
    assert "reconstruction_psnr" in " ".join(rejected.reasons)


def test_a_challenger_that_is_better_enters_service_and_its_page_shows_the_champion_it_beat(better):
    (card,) = better.models
    assert (card.version, card.decision.verdict) == ("3", "promote")
    subjects = {subject.role: subject for subject in card.subjects}
    assert set(subjects) == {"model", "champion", "baseline"}
    psnr = {
        role: next(score.value for score in subjects[role].scores if score.name == "reconstruction_psnr")
        for role in ("model", "champion")
    }
    assert psnr["model"] > psnr["champion"]
    assert "version 3" in {fact.value for fact in card.facts if fact.label == "In service now"}


def test_a_version_that_was_rolled_back_is_held_and_not_promoted_again(withdrawn):
    before, promotion = withdrawn
    assert before == 1
    assert (promotion.version, promotion.verdict, promotion.champion) == (3, "hold", 1)
    assert "rolled back" in " ".join(promotion.reasons)


def test_a_plan_foresees_what_is_held_and_what_would_be_judged(withdrawn, published, vae_only, at):
    def promoted(*overrides: str) -> tuple[str, str]:
        with at(published.home):
            steps = plan(load(vae_only, overrides), "kintsugi run", Store(published.home / "store"), published.home)
        return next((step.state, step.facts) for step in steps if step.stage == "promote vae")

    assert promoted(MUCH) == ("reuse", "version 3: hold; version 1 in service")
    assert promoted() == ("reuse", "version 1: promote; version 1 in service")
    assert promoted(LITTLE) == ("reuse", "version 2: reject; version 1 in service")
