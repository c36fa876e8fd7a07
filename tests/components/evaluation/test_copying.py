"""Copies among real pictures are seen by the embedded network and a comparison of pixels, honest pictures are not."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from components.baselines.generation import Template
from components.data import ShardSet
from components.evaluation.copies import EQUAL, leaked_in
from components.evaluation.evidence import Evidence
from components.evaluation.extractors import FidelityConfig
from components.evaluation.gate import PromotionRule, decide
from components.evaluation.judges import Judges
from components.evaluation.likeness import distances, sketches
from components.evaluation.neighbours import held_distances
from components.evaluation.protocol import ScoreTable
from components.evaluation.toning import picture_toning, set_toning, tones
from components.seeding import numpy_generator

SIZE, TRAINING, HELD, MADE = 24, 1_000, 200, 400
CONFIG = FidelityConfig.model_validate(
    {
        "extractor": {"kind": "efficientnet_lite0", "resolution": 32},
        "kid_subsets": 2,
        "interval_groups": 5,
    }
)
RULE = PromotionRule(metric="fd_efficientnet_lite0", must_beat_baselines=False)


def pictures(name, count):
    """Smooth fields of colour, each of its own."""
    coarse = numpy_generator(0, name).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for one in coarse])


def encoded(picture, quality=90):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def noisy(picture):
    noise = numpy_generator(1, "noise").normal(0, 4, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def resized(picture):
    smaller = Image.fromarray(picture).resize((SIZE - 6, SIZE - 6), Image.Resampling.LANCZOS)
    return np.asarray(smaller.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


ALTERATIONS = {
    "as it is": lambda picture: picture,
    "mirrored": lambda picture: picture[:, ::-1],
    "shifted by a pixel": lambda picture: np.roll(picture, (1, -1), axis=(0, 1)),
    "encoded anew": encoded,
    "with slight noise": noisy,
    "resized and back": resized,
    "with other colours": lambda picture: (picture * 0.8 + 20).astype(np.uint8),
}
TRAINED_ON = pictures("training", TRAINING)


def altered(count):
    """Training images, each altered in one of the ways in turn."""
    ways = list(ALTERATIONS.values())
    return np.stack([ways[place % len(ways)](TRAINED_ON[7 * place]) for place in range(count)])


def planting(copies):
    return np.concatenate([pictures("made", MADE - copies), altered(copies)])


class Known(Evidence):
    """Evidence whose images need no shards."""

    test = pictures("held", HELD)
    test_digest = "test"
    training_digest = "train"


def judges(folder, evidence=Known):
    shards = ShardSet.model_construct(size=SIZE)
    known = evidence(shards, TRAINED_ON, None, "", (), seed=3, device=torch.device("cpu"), cache=folder)
    return Judges(known, CONFIG)


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    return judges(tmp_path_factory.mktemp("cache"))


def decided(judge, made):
    rows = {"model": (*judge.scores(made), *judge.copying.leak())}
    return decide(ScoreTable(subject="s", rows=rows), None, RULE)


@pytest.mark.parametrize("how", ALTERATIONS)
def test_an_altered_picture_is_as_good_as_equal(how):
    originals = TRAINED_ON[:32]
    copies = np.stack([ALTERATIONS[how](picture) for picture in originals])
    apart = distances(sketches(torch.from_numpy(copies)), sketches(torch.from_numpy(originals))[:, None])
    assert apart.max() < (0.15 if how == "encoded anew" else EQUAL)


def test_other_pictures_are_far_away():
    others = sketches(torch.from_numpy(pictures("held", 32)))
    apart = distances(others, sketches(torch.from_numpy(TRAINED_ON[:64])).expand(32, -1, -1, -1, -1))
    assert apart.min() > 0.2


def test_large_pictures_are_compared_as_small_ones():
    large = torch.from_numpy(TRAINED_ON[:2].repeat(4, axis=1).repeat(4, axis=2))
    assert sketches(large).shape == (2, 3, 32, 32)
    assert distances(sketches(large), sketches(large)[:, None]).max() < 0.001


TRUTH = {
    "held-out pictures": (pictures("made", MADE), "promote"),
    "one copy in a hundred": (planting(MADE // 100), "reject"),
    "one copy in twenty": (planting(MADE // 20), "reject"),
    "nothing but copies": (altered(100), "reject"),
    "template": (Template().generate(MADE, SIZE, TRAINED_ON, 5), "reject"),
    "noise": (numpy_generator(2, "noise").integers(0, 256, (100, SIZE, SIZE, 3), dtype=np.uint8), "promote"),
    "one picture again and again": (np.repeat(pictures("made", 1), 100, axis=0), "promote"),
}


@pytest.mark.parametrize("what", TRUTH)
def test_copiers_are_refused_and_honest_models_are_not(judge, what):
    made, verdict = TRUTH[what]
    decision = decided(judge, made)
    assert decision.verdict == verdict, decision.reasons
    assert decision.reasons[0].startswith("copies of training images: ") == (verdict == "reject")


def test_what_is_known_of_the_training_images_is_kept_and_found_again(judge):
    again = judges(judge.evidence.cache).copying.known
    known = judge.copying.known
    assert torch.equal(again.features, known.features)
    assert np.array_equal(again.real.both, known.real.both)
    assert len(list(judge.evidence.cache.glob("trainingneighbours/*"))) == 1


def test_held_out_images_that_are_altered_training_images_are_refused(tmp_path):
    class Leaking(Known):
        test = np.concatenate([pictures("held", HELD // 2), altered(HELD // 2)])

    leaking = judges(tmp_path, Leaking)
    decision = decided(leaking, pictures("made", MADE))
    assert decision.verdict == "reject"
    assert decision.reasons == (
        "held-out images that are training images: 100 of 200 show what a training image shows (50.0%, 43.1% to "
        "56.9%), more than the 25.0% that promotion.most_leaked allows",
    )
    share = leaked_in(ScoreTable(subject="s", rows={"model": leaking.copying.leak()}))
    assert share.value == 0.5


def test_the_mean_colour_of_a_set_is_off_by_what_was_added():
    real = pictures("held", HELD)
    darker = (pictures("made", HELD) * 0.9).astype(np.uint8)
    colour, low_pass = set_toning(tones(darker), tones(real), "reference", 3)
    assert colour.value == pytest.approx(0.05, abs=0.01)
    assert colour.low > 0.02
    same, _ = set_toning(tones(pictures("made", HELD)), tones(real), "reference", 3)
    assert same.low < 0.01
    assert low_pass.value >= colour.value


def test_the_held_out_images_of_a_mender_that_are_training_images_are_found_without_a_network():
    held = np.concatenate([pictures("held", 60), altered(40)])
    apart = held_distances(held, TRAINED_ON)
    assert (apart[:60] > 0.2).all()
    assert (apart[60:] < 0.15).all()
    assert held_distances(held[:0], TRAINED_ON).shape == (0,)


def test_a_mended_picture_that_is_darker_is_off_in_colour_and_over_large_areas():
    truth = pictures("held", 40)
    colour, low_pass = picture_toning((truth * 0.9).astype(np.uint8), truth, "frozen", 3)
    assert colour.value == pytest.approx(0.05, abs=0.01)
    assert low_pass.value >= colour.value
    assert colour.per_image is not None
    untouched, _ = picture_toning(truth, truth, "frozen", 3)
    assert (untouched.value, untouched.low, untouched.high) == (0, 0, 0)
