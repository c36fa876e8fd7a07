"""New images that look otherwise are told from those that do not, at a level that holds whatever images are like."""

import numpy as np
import pytest
from scipy.stats import binomtest

from components.evaluation.kernel import kernel_distance
from components.evaluation.shift import SIGNIFICANCE, Looks, shift_of
from components.seeding import numpy_generator


def looks(count: int, seed: int, *, moved: float = 0.0, classes: tuple[str, ...] = ()) -> Looks:
    generator = numpy_generator(seed, "looks")
    features = generator.standard_exponential((count, 8)).astype(np.float32)
    names = tuple(classes[number % len(classes)] for number in range(count)) if classes else ()
    return Looks(features + np.float32(moved), {"brightness": generator.random(count) + moved}, names)


def test_images_of_the_same_kind_are_taken_for_others_no_more_often_than_is_said() -> None:
    nights = 150
    wrong = sum(
        shift_of(looks(60, 2 * n), looks(80, 2 * n + 1), numpy_generator(n, "deal")).verdict == "drifted"
        for n in range(nights)
    )
    assert binomtest(wrong, nights, SIGNIFICANCE, "greater").pvalue > 0.001


def test_images_that_look_otherwise_are_seen_and_it_is_said_by_what() -> None:
    shift = shift_of(looks(100, 1, moved=0.5), looks(200, 2), numpy_generator(1, "deal"))
    assert shift.verdict == "drifted"
    assert shift.chance == pytest.approx(1 / 500)
    assert [one.name for one in shift.measures] == ["features", "brightness"]
    assert shift.reasons[0].startswith("features: ")
    assert all(one.new > one.usual[1] for one in shift.measures)


def test_the_distance_is_the_kernel_distance_of_the_two_sets() -> None:
    one, other = looks(70, 1), looks(90, 2)
    shift = shift_of(one, other, numpy_generator(1, "deal"))
    slow = kernel_distance(one.features.astype(np.float64), other.features.astype(np.float64))
    assert shift.measures[0].new == pytest.approx(slow, rel=1e-3, abs=1e-4)
    low, high = shift.measures[0].usual
    assert low < shift.measures[0].new < high
    assert shift.verdict == "held"


def test_a_class_that_changed_is_named_where_the_others_did_not() -> None:
    new, known = (looks(160, seed, classes=("cat", "dog", "ship", "sheep")) for seed in (1, 2))
    features = new.features.copy()
    features[[number for number, name in enumerate(new.classes) if name == "dog"]] += 1.0
    shift = shift_of(new._replace(features=features), known, numpy_generator(1, "deal"))
    assert shift.verdict == "drifted"
    assert min(shift.classes, key=lambda one: one.chance).name == "dog"
    assert {one.name for one in shift.classes if one.chance > SIGNIFICANCE} == {"cat", "ship", "sheep"}


def test_of_few_images_nothing_is_said() -> None:
    shift = shift_of(looks(12, 1), looks(80, 2), numpy_generator(1, "deal"))
    assert shift.verdict == "unknown"
    assert shift.reasons == ("12 new images and 80 learnt from, expected 50 or more of each",)
    assert shift.chance is None


def test_equal_generators_give_equal_verdicts() -> None:
    one, other = (shift_of(looks(60, 1), looks(60, 2), numpy_generator(5, "deal")) for _ in range(2))
    assert one == other
