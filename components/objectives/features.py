"""Feature loss: how far apart pictures are as a trained network sees them, place by place, whatever network that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from jaxtyping import Float
from pydantic import Field, field_validator

from components.deferred.torch import F, Tensor, torch
from components.section import Section

_LAST_BLOCK = 15


class FeatureLossConfig(Section):
    """Distance of the decoded picture from the true one as a frozen EfficientNet-Lite0 sees both.

    Blurs that cost few nats stand out to a network that knows textures. The loss is then no bound on the likelihood any
    more; what evaluation calls one stays one. Models trained so may not be judged by Lite0. Costs a pass of the network
    for true pictures and a pass with its way back for decoded ones, so early blocks are the default.
    """

    weight: float = Field(default=0.1, gt=0)
    """Nats per colour value that a distance of 1 costs."""
    blocks: tuple[Annotated[int, Field(ge=0, le=_LAST_BLOCK)], ...] = Field(default=(0, 2, 4), min_length=1)
    """Blocks of the sixteen after which features are compared, counted from 0, in order. Their maps have a half (0), a
    quarter (1, 2), an eighth (3, 4), a sixteenth (5 to 10) and a thirty-second (11 to 15) of the picture's side."""
    resolution: int | None = Field(default=None, ge=32, le=512)
    """Side to which pictures are resized before the network sees them (px); None: as they are."""

    @field_validator("blocks")
    @classmethod
    def _in_order(cls, blocks: tuple[int, ...]) -> tuple[int, ...]:
        if list(blocks) != sorted(set(blocks)):
            raise ValueError(f"found {list(blocks)}, expected each block once, in order: {sorted(set(blocks))}")
        return blocks


def features_apart(
    made: Sequence[Float[Tensor, "batch _channels _h _w"]], true: Sequence[Float[Tensor, "batch _channels _h _w"]]
) -> Float[Tensor, ""]:
    """Return the mean over layers, images and places of the squared distance of features, each of length 1: 0 to 4.

    Equation 1 of Zhang et al. 2018, https://arxiv.org/abs/1801.03924, with all channels counting alike instead of by
    learnt weights, and the mean over layers instead of the sum. It is twice what the cosine lacks to 1. No gradient
    reaches `true`.
    """
    pairs = zip(made, true, strict=True)
    return torch.stack([(_unit(one) - _unit(goal.detach())).square().sum(1).mean() for one, goal in pairs]).mean()


def _unit(features: Float[Tensor, "batch channels _h _w"]) -> Float[Tensor, "batch channels _h _w"]:
    """Return the features of each place with length 1; where there are none, no direction is made up."""
    unit: Tensor = F.normalize(features.float(), dim=1, eps=1e-4)
    return unit
