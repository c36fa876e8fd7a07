"""Interpolation: ways from one code to another, on which every step should decode to a likely picture."""

from __future__ import annotations

from jaxtyping import Float

from components.deferred.torch import Tensor, torch

_PARALLEL = 1e-4

Codes = Float[Tensor, "pairs latent"]
Ways = Float[Tensor, "steps pairs latent"]


def straight(first: Codes, second: Codes, steps: int) -> Ways:
    """Return `steps` points at equal distances on the lines between the codes, both ends included.

    For means of encoded pictures, whose length tells how much is known of them.
    """
    place = _places(first, steps)
    return (1 - place) * first + place * second


def spherical(first: Codes, second: Codes, steps: int) -> Ways:
    """Return `steps` points at equal angles on the arcs between the codes, both ends included.

    For draws from a normal of many numbers: nearly all are as long as the root of that count, the middle of a line
    between two is not, and the decoder never saw such short ones. White 2016, https://arxiv.org/abs/1609.04468. Between
    codes in one direction the arc is a line.
    """
    cosine = torch.nn.functional.cosine_similarity(first, second, dim=1).clamp(-1, 1)
    angle = torch.arccos(cosine).unsqueeze(1)
    place, sine = _places(first, steps), torch.sin(angle)
    arc = (torch.sin((1 - place) * angle) * first + torch.sin(place * angle) * second) / sine
    return torch.where(sine > _PARALLEL, arc, straight(first, second, steps))


def _places(codes: Codes, steps: int) -> Float[Tensor, "steps 1 1"]:
    return torch.linspace(0, 1, steps, device=codes.device).view(-1, 1, 1)
