"""A sweep that cannot be carried out is refused as the file is read, by the path that is wrong; one alters no night."""

from pathlib import Path

import pytest

from components.config import ConfigError, load

RANKED = "models.vae.training.validation={every: 100, samples: 8}"
OVER = "sweep={model: vae, over: {training.batch: [16, 32]}}"


@pytest.fixture(scope="module")
def mini(root: Path) -> Path:
    return root / "tests" / "flows" / "mini.yaml"


REFUSED = {
    "sweep.over={recipe.optimiser.rate: [1e-3]}": "recipe.optimiser.rate=0.001: models.vae.recipe.optimiser: unknown "
    "key; did you mean 'optimizer'?",
    "sweep.over={training.batch: [32, none]}": "training.batch=none: models.vae.training.batch: Input should be a",
    "sweep.over={training.batch: [true]}": "training.batch=True: models.vae.training.batch: expected a number, found",
    "sweep={model: vae, trials: 3, over: {recipe.optimizer.rate: {low: -1, high: 1}}}": "recipe.optimizer.rate=-1.0: "
    "models.vae.recipe.optimizer.rate: Input should be greater than 0",
    "sweep.over={recipe.optimizer.rate: {low: 1, high: 0.1}}": "sweep.over.recipe.optimizer.rate: expected low below",
    "sweep.over={recipe.optimizer.rate: {low: 0, high: 1, log: true}}": "log needs a range above 0",
    "sweep.over={recipe.optimizer.rate: 0.1}": "sweep.over.recipe.optimizer.rate: expected a list of values, or",
    "sweep.over={recipe.optimizer.rate: {values: [1], low: 1}}": "expected either values or a range",
    "sweep.over={recipe.optimizer.rate: {low: 1e-4, high: 1e-3}}": "so the number of `trials` must be given",
    "sweep.over={execution.processes: [1, 2]}": "execution.processes: expected a path below recipe or training",
    "sweep.over={training.images: [100, 200]}": "training.images: trials are compared at equal numbers of images",
    "sweep.over={training.validation.every: [100]}": "trials are ranked by its score",
    "sweep.model=gan": "sweep.model: there is no model 'gan'; there are: vae, inpainter",
    "models.vae.training.validation=null": "models.vae.training.validation, which is missing; set it to {every: 177}",
    "models.vae.training.validation.every=178": "first rung is at 177 images, but models.vae.training.validation.every",
    "models.vae.execution.nodes=2": "a sweep trains on one host",
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_what_cannot_be_tried_is_refused_by_its_path(mistake, mini):
    with pytest.raises(ConfigError) as error:
        load(mini, [RANKED, OVER, mistake])
    assert REFUSED[mistake] in str(error.value)


def test_rungs_lie_at_powers_of_the_reduction_and_end_with_the_training(mini):
    run = load(mini, [RANKED, OVER, "sweep.reduction=2", "sweep.rungs=4"])
    assert run.sweep is not None
    assert run.sweep.places(1_600) == (200, 400, 800, 1_600)


def test_a_sweep_changes_no_night_and_unsaid_it_is_not_dumped(mini):
    from components.stages.inputs import content_of
    from components.stages.nights import run_digest

    plain, swept = load(mini, [RANKED]), load(mini, [RANKED, OVER])
    assert "sweep" not in plain.model_dump()
    assert run_digest(swept.of_the_night) == run_digest(plain.of_the_night) == run_digest(plain)
    assert content_of(swept.of_the_night) == content_of(plain)
    assert load(mini, [RANKED, OVER]) == type(swept).model_validate_json(swept.model_dump_json())
