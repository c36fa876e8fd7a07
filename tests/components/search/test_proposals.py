"""Trials are known up front: they follow from the file and its seed, and that without the sweep is the first."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.config import ConfigError, RunConfig, load, text
from components.config.sweep import Choice
from components.search.proposals import proposals, read, settings

RATE, BATCH = "recipe.optimizer.rate", "training.batch"


def swept(over: dict[str, Any], seed: int = 17, **options: Any) -> dict[str, Any]:
    """Return a configuration with a sweep, as a file would hold it."""
    vae = {
        "recipe": {"kind": "vae"},
        "training": {"images": 9_000, "validation": {"every": 500}},
        "evaluation": {"kind": "generation"},
        "promotion": {"metric": "reconstruction_psnr"},
    }
    return {
        "name": "swept",
        "seed": seed,
        "dataset": {"source": {"kind": "shapes"}, "size": 16},
        "models": {"vae": vae},
        "sweep": {"model": "vae", "over": over, **options},
    }


@pytest.fixture
def values(tmp_path):
    """Return the values that are tried, in order, over what a sweep searches."""

    def tried(over: dict[str, Any], **options: Any) -> list[tuple[Any, ...]]:
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(swept(over, **options), sort_keys=False))
        found = proposals(load(path))
        assert all(one.run.sweep is None for one in found)
        return [tuple(one.values.values()) for one in found]

    return tried


def test_lists_give_all_combinations_and_what_is_there_already_once_and_first(values):
    assert values({RATE: [1e-3, 1e-2], BATCH: [32, 64]}) == [(1e-3, 64), (1e-3, 32), (1e-2, 32), (1e-2, 64)]


def test_of_a_grid_more_trials_keep_those_of_fewer(values):
    over = {RATE: [1e-4, 2e-4, 3e-4, 4e-4], BATCH: [8, 16, 32]}
    few, more = values(over, trials=5), values(over, trials=9)
    assert few == more[:5]
    assert len(set(more)) == 9
    assert values(over, trials=9, seed=18) != more


@pytest.mark.parametrize("trials", [9, 17])
def test_a_range_is_filled_evenly_by_logarithm_one_value_in_each_part(trials, values):
    low, high = 1e-4, 1e-2
    rates = [rate for (rate,) in values({RATE: {"low": low, "high": high, "log": True}}, trials=trials)][1:]
    parts = [int(len(rates) * math.log(rate / low) / math.log(high / low)) for rate in rates]
    assert sorted(parts) == list(range(len(rates)))  # Sobol: each of 2^m equal parts holds one of the first 2^m points
    assert all(rate == float(f"{rate:.4g}") for rate in rates), "values that a person can copy"


def test_ranges_and_lists_go_together_and_more_trials_keep_those_of_fewer(values):
    over = {RATE: {"low": 1e-4, "high": 1e-2, "log": True}, BATCH: [16, 32]}
    few, more = values(over, trials=4), values(over, trials=9)
    assert few == more[:4]
    assert sorted(batch for _, batch in more[1:]) == [16] * 4 + [32] * 4


def test_equal_seeds_give_equal_trials_and_others_others(values):
    over = {RATE: {"low": 1e-4, "high": 1e-2}}
    assert values(over, trials=5) == values(over, trials=5)
    assert values(over, trials=5) != values(over, trials=5, seed=18)


def test_whole_numbers_are_whole_and_tried_once(values):
    found = [width for (width,) in values({"recipe.network.width": {"low": 8, "high": 10, "whole": True}}, trials=20)]
    assert sorted(found[1:]) == [8, 9, 10]


def test_whole_sections_are_values_too(values):
    networks = [{"kind": "conv", "width": 8}, {"kind": "residual"}]
    assert [value for (value,) in values({"recipe.network": networks})][1:] == networks


def test_values_that_clash_only_together_are_named_together_with_the_file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(swept({BATCH: [48], "training.accumulate": [32]}), sort_keys=False))
    words = r"run.yaml: sweep.over: training.batch=48, training.accumulate=32: .*not divisible"
    with pytest.raises(ConfigError, match=words):
        read(path)


def test_a_file_that_asks_for_no_sweep_is_told_what_is_missing(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(swept({BATCH: [48]}) | {"sweep": None}))
    with pytest.raises(ConfigError, match=r"run.yaml: sweep: required, but missing"):
        read(path)


def test_a_list_is_divided_like_a_range_from_end_to_end():
    choice = Choice.model_validate(["a", "b", "c"])
    assert [choice.at(share) for share in (0.0, 0.33, 0.34, 0.66, 0.67, 1.0)] == ["a", "a", "b", "b", "c", "c"]
    assert Choice(low=1, high=100, log=True).at(0.5) == pytest.approx(10)


def reading_again(path: Path) -> Callable[[Mapping[str, Any]], RunConfig]:
    return lambda values: load(path, ["sweep=null", *(text.assignment(*one) for one in values.items())])


def test_what_must_be_set_are_the_values_where_the_file_has_their_sections(tmp_path):
    content = swept({RATE: [1e-2], BATCH: [32]})
    content["models"]["vae"]["recipe"]["optimizer"] = {"kind": "adam", "rate": 1e-3}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(content))
    run, reread = load(path), reading_again(path)
    best = proposals(run)[1].run
    found = settings(best, run, reread)
    assert found == {f"models.vae.{RATE}": 0.01, f"models.vae.{BATCH}": 32}
    assert reread(found) == best


def test_a_section_that_the_file_leaves_out_is_set_as_a_whole(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(swept({RATE: [1e-2], BATCH: [32]})))
    run, reread = load(path), reading_again(path)
    best = proposals(run)[1].run
    found = settings(best, run, reread)
    assert set(found) == {"models.vae.recipe.optimizer", f"models.vae.{BATCH}"}
    optimizer = {"kind": "adam", "rate": 0.01, "betas": [0.9, 0.999]}  # the recipe's betas are not the section's own
    assert found["models.vae.recipe.optimizer"] == optimizer
    assert reread(found) == best
