"""The yardstick: pinned once, kept while data grows, renewed on purpose, not used where it may have been trained on."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import TypeAdapter, ValidationError

from components.artifacts import ArtifactError, Store
from components.data import DatasetConfig, JpegEncoding, ShapesSource, SplitConfig, write_shards
from components.evaluation.yardstick import (
    EvaluationSetChoice,
    PinnedVersion,
    begin,
    chosen,
    fitting,
    options_digest,
    renew,
    yardsticks,
)

RUN = "nightly"


def dataset(images: int = 60, **options) -> DatasetConfig:
    return DatasetConfig(source=ShapesSource(images=images, raster_px=16), **{"size": 16} | options)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture
def first(store):
    return begin(store, RUN, dataset(), write_shards(dataset(), store))


def test_the_first_data_is_pinned_with_what_a_person_asks_of_it(store, first):
    shards = write_shards(dataset(), store)
    assert (first.number, first.shards, first.by) == (1, shards.digest, "kintsugi")
    assert first.images == shards.splits["test"].samples > 0
    assert first.facts.startswith(f"{first.images} held-out images of 16 px, pinned 20")
    assert yardsticks(store, RUN) == (first,)
    assert yardsticks(store, "other") == ()


def test_data_that_grew_is_judged_on_what_was_pinned(store, first):
    assert begin(store, RUN, dataset(90), write_shards(dataset(90), store)) == first
    assert chosen(yardsticks(store, RUN), dataset(90), "pinned") == first


def test_nights_that_begin_at_once_get_one_version(store):
    counts = (40, 50, 60, 70)
    made = [write_shards(dataset(count), store) for count in counts]
    with ThreadPoolExecutor(len(counts)) as pool:
        pinned = set(pool.map(lambda shards: begin(store, RUN, dataset(), shards).number, made))
    assert pinned == {1}
    assert len(yardsticks(store, RUN)) == 1


def test_a_new_version_is_in_force_and_the_old_one_can_be_asked_for(store, first):
    grown = write_shards(dataset(90), store)
    second = renew(store, RUN, dataset(90), grown, by="ann", reason="more photos")
    assert (second.number, second.shards, second.by, second.reason) == (2, grown.digest, "ann", "more photos")
    known = yardsticks(store, RUN)
    assert chosen(known, dataset(90), "pinned") == second
    assert chosen(known, dataset(90), PinnedVersion(pinned=1)) == first
    assert chosen(known, dataset(90), "fresh") is None


def test_renewing_with_what_is_in_force_writes_nothing(store, first):
    assert renew(store, RUN, dataset(), write_shards(dataset(), store), by="ann", reason="again") == first
    assert len(yardsticks(store, RUN)) == 1


@pytest.mark.parametrize(("by", "reason", "named"), [("", "why", "--by"), ("ann", "  ", "--reason")])
def test_a_renewal_names_who_and_why(store, first, by, reason, named):
    with pytest.raises(ValueError, match=f"{named} is needed"):
        renew(store, RUN, dataset(90), write_shards(dataset(90), store), by=by, reason=reason)


def test_nothing_is_not_pinned(store):
    none_held_out = dataset(split=SplitConfig(test=0))
    with pytest.raises(ValueError, match=r"no test image to pin; raise dataset\.split\.test"):
        renew(store, RUN, none_held_out, write_shards(none_held_out, store), by="ann", reason="why")


@pytest.mark.parametrize("options", [{"size": 32}, {"fit": "pad"}, {"split": SplitConfig(test=0.05)}])
def test_where_other_pixels_are_held_out_a_new_line_begins(store, first, options):
    changed = dataset(**options)
    assert fitting(yardsticks(store, RUN), changed) == ()
    second = begin(store, RUN, changed, write_shards(changed, store))
    assert second.number == 2
    known = yardsticks(store, RUN)
    assert (chosen(known, dataset(), "pinned"), chosen(known, changed, "pinned")) == (first, second)
    with pytest.raises(ValueError, match=r"no evaluation set 1 .* there are: 2$"):
        chosen(known, changed, PinnedVersion(pinned=1))


def test_how_images_are_kept_and_where_they_come_from_changes_nothing():
    kept = {"encoding": JpegEncoding(), "shard_bytes": "1MiB", "rejected_limit_fraction": 0.5}
    assert options_digest(dataset(90, **kept)) == options_digest(dataset())


def test_data_without_any_pinned_image_pins_anew(store, first):
    assert begin(store, RUN, dataset(), write_shards(dataset(90), store), strangers={first.shards}).number == 2


def test_a_record_of_another_kind_is_named(store):
    store.records(f"evaluation/{RUN}").append({"shards": "abc"})
    with pytest.raises(ArtifactError, match="evaluation set 1 of nightly: not a readable record"):
        yardsticks(store, RUN)


@pytest.mark.parametrize("choice", ["pinned", "fresh", {"pinned": 2}])
def test_a_choice_is_read_from_a_config(choice):
    TypeAdapter(EvaluationSetChoice).validate_python(choice)


@pytest.mark.parametrize("choice", ["newest", {"pinned": 0}, {"pinned": True}, {"pinned": 1, "of": 2}, {}, 2, None])
def test_another_choice_is_refused_in_one_sentence(choice):
    with pytest.raises(ValidationError, match="expected pinned, fresh, or the number of an evaluation set") as refused:
        TypeAdapter(EvaluationSetChoice).validate_python(choice)
    assert refused.value.error_count() == 1
