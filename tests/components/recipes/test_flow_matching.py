"""Flow matching: the path and its velocity, what is drawn for each image, guidance, and a bit of learning."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from components.data import Batch
from components.models.velocity import VelocityUnetConfig
from components.recipes.flow_matching import FlowMatchingConfig, SamplerConfig, path
from components.recipes.recipe import PRODUCER, ClassGenerator, Generator
from components.training.optimizer import AdamConfig

SMALL = VelocityUnetConfig(width=8)
CLASSES = {"cat": 3, "dog": 1}
BY_CLASS = FlowMatchingConfig(network=SMALL, conditional=True, classes=CLASSES, sampler=SamplerConfig(steps=2))


def images(count=8, seed=0):
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def batch_of(whole, labels=None, rows=slice(None), first_image=0):
    own = None if labels is None else labels[rows]
    return Batch(whole[rows], None, None, 7, first_image, rows.start or 0, len(whole), own)


def stirred(config, scale=0.1):
    network = config.build(8, 1).networks[PRODUCER]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator)
    return network


def test_the_path_leads_from_noise_to_the_image_at_the_velocity_it_names():
    noise, whole = images(4, seed=1), images(4)
    place = {time: path(noise, whole, torch.full((4,), time), 0.1)[0] for time in (0.0, 0.4, 0.5, 1.0)}
    torch.testing.assert_close(place[0.0], noise)
    torch.testing.assert_close(place[1.0], whole + 0.1 * noise)
    velocity = path(noise, whole, torch.full((4,), 0.4), 0.1)[1]
    torch.testing.assert_close((place[0.5] - place[0.4]) / 0.1, velocity, atol=1e-5, rtol=1e-4)


def test_the_loss_of_a_network_at_rest_is_the_mean_square_of_the_velocity():
    (phase,) = FlowMatchingConfig(network=SMALL, sigma_min=0.0).build(8, 1).phases
    batch = batch_of(images())
    expected = (batch.images - batch.noise("flow/noise", 3, 8, 8)).square().mean()
    torch.testing.assert_close(phase.objective(batch, 0)["loss"], expected)


@pytest.mark.parametrize("times", ["uniform", "logit_normal"])
def test_the_mean_loss_of_two_ranks_is_that_of_one_on_the_joined_batch(times):
    config = BY_CLASS.model_copy(update={"times": times, "class_drop": 0.5})
    (phase,) = config.build(8, 1).phases
    phase.trains.load_state_dict(stirred(config).state_dict())
    labels = torch.tensor([0, 1] * 4)
    whole = phase.objective(batch_of(images(), labels), 0)["loss"]
    halves = [phase.objective(batch_of(images(), labels, rows), 0)["loss"] for rows in (slice(0, 4), slice(4, 8))]
    torch.testing.assert_close(sum(halves) / 2, whole)
    other = phase.objective(batch_of(images(), labels, first_image=8), 0)["loss"]
    assert other.item() != whole.item()


def seen_by(config, count=4096):
    """Return times and labels that the network is given in one batch."""
    (phase,) = config.build(8, 1).phases
    seen = {}
    phase.trains.register_forward_pre_hook(lambda module, given: seen.update(time=given[1], labels=given[2]))
    with torch.no_grad():
        phase.objective(batch_of(torch.zeros(count, 3, 8, 8), torch.arange(count) % 2), 0)
    return seen["time"], seen["labels"]


def test_times_are_uniform_or_more_often_in_the_middle():
    expected = {
        "uniform": torch.tensor([0.25, 0.5, 0.75]),
        "logit_normal": torch.sigmoid(torch.tensor([-0.6745, 0.0, 0.6745])),
    }
    for times, quartiles in expected.items():
        found = seen_by(FlowMatchingConfig(network=SMALL, times=times))[0]
        assert ((found >= 0) & (found < 1)).all()
        torch.testing.assert_close(torch.quantile(found, torch.tensor([0.25, 0.5, 0.75])), quartiles, atol=0.03, rtol=0)


def test_as_many_classes_are_dropped_as_asked_and_the_others_are_told():
    told = seen_by(BY_CLASS.model_copy(update={"class_drop": 0.25}))[1]
    dropped = told == 2
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(told[~dropped], (torch.arange(4096) % 2)[~dropped])
    assert seen_by(FlowMatchingConfig(network=SMALL))[1] is None


def made(network, guidance):
    sampler = BY_CLASS.sampler.model_copy(update={"guidance": guidance})
    producer = BY_CLASS.model_copy(update={"sampler": sampler}).producer(network)
    assert isinstance(producer, ClassGenerator)
    return producer.generate_class("dog", 6, seed=3).astype(float)


def test_guidance_of_one_is_the_conditional_model_and_of_none_the_model_without_classes():
    network = stirred(BY_CLASS)
    plain, none, guided = made(network, 1.0), made(network, 0.0), made(network, 3.0)
    # Just beside 1 both velocities are asked for; nothing but the formula then makes them the conditional one.
    assert np.abs(made(network, 1.0 + 1e-6) - plain).max() <= 1
    with torch.no_grad():  # what is known of no class becomes what is known of all
        network.label.weight[:] = network.label.weight[network.no_class]
    assert np.abs(made(network, 1.0) - none).max() <= 1
    assert np.abs(plain - none).mean() > 1
    assert np.abs(guided - none).mean() > np.abs(plain - none).mean()


def test_a_model_without_classes_makes_pictures_and_knows_no_class():
    producer = FlowMatchingConfig(network=SMALL).producer(stirred(FlowMatchingConfig(network=SMALL)))
    assert isinstance(producer, Generator)
    assert not isinstance(producer, ClassGenerator)


def test_more_steps_come_nearer_to_the_end_of_the_flow():
    network = stirred(FlowMatchingConfig(network=SMALL), 0.05)

    def drawn(solver, steps):
        sampler = SamplerConfig(solver=solver, steps=steps)
        return FlowMatchingConfig(network=SMALL, sampler=sampler).producer(network).generate(8, 1).astype(float)

    end = drawn("heun", 200)
    for solver in ("euler", "midpoint", "heun"):
        errors = [np.abs(drawn(solver, steps) - end).mean() for steps in (2, 8, 64)]
        assert all(fine < coarse for coarse, fine in pairwise(errors)), (solver, errors)
        assert errors[-1] < 0.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": {"cat": 1}}, "classes are given, but conditional is false"),
        ({"sampler": {"guidance": 2}}, "guidance 2 compares with the velocity without a class"),
        (
            {"sampler": {"guidance": 2}, "conditional": True, "class_drop": 0},
            "only with conditional: true and a class_",
        ),
        ({"sampler": {"steps": 0}}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_work_is_refused_before_training(options, words):
    with pytest.raises(ValidationError, match=words):
        FlowMatchingConfig.model_validate(options)


def test_too_small_images_are_refused_by_their_size():
    with pytest.raises(ValueError, match="found images of 20 px"):
        FlowMatchingConfig().check(20)


@pytest.mark.slow
def test_a_flow_learns_sixteen_pictures_by_heart(learn, shapes):
    config = FlowMatchingConfig(
        network=VelocityUnetConfig(width=16),
        optimizer=AdamConfig(rate=3e-3, betas=(0.9, 0.99)),
        sampler=SamplerConfig(steps=12),
    )
    untrained = config.producer(config.build(16, 0).networks[PRODUCER].eval()).generate(32, 1)
    learnt = learn(config, 200).generate(32, 1)

    def nearest(pictures):
        return np.abs(pictures[:, None].astype(float) - shapes[None]).mean(axis=(2, 3, 4)).min(axis=1).mean()

    assert nearest(learnt) < 0.4 * nearest(untrained)
    assert len({int(np.abs(picture.astype(float) - shapes).mean(axis=(1, 2, 3)).argmin()) for picture in learnt}) >= 8
