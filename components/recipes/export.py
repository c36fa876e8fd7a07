"""Export: the folder that leaves training and is served. safetensors weights and a JSON card, nothing executable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from safetensors import SafetensorError

from components.artifacts import sha256_of
from components.deferred.torch import nn, torch
from components.recipes import RecipeConfig
from components.recipes.recipe import Producer
from components.section import Section, digest_of

WEIGHTS = "model.safetensors"
CARD = "model.json"


class ModelCard(Section):
    """All that is needed to rebuild a network around its weights."""

    format: Literal[1] = 1
    """Version of this layout."""
    size: int = Field(ge=8, le=1024)
    """Side of the square images it was trained on, in pixels."""
    recipe: RecipeConfig
    """How it was made."""
    images: int = Field(ge=0)
    """Images seen in training."""
    conventions: str = "uint8 RGB; masks are 1 where pixels are missing"
    """What inputs and outputs mean."""


def write_export(folder: Path, network: nn.Module, card: ModelCard) -> None:
    """Write weights and card into the empty folder `folder`."""
    from safetensors.torch import save_file  # imports torch

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, folder / WEIGHTS)
    (folder / CARD).write_text(card.model_dump_json(indent=1))


def export_digest(folder: Path) -> str:
    """Return the name of a model by content: equal weights and equal card give equal digests."""
    return digest_of([sha256_of(folder / WEIGHTS), sha256_of(folder / CARD)])


def read_card(folder: Path) -> ModelCard:
    """Return the card of an export.

    Raises:
        ValueError: It is missing or was written by another version of this code.
    """
    try:
        content = json.loads((folder / CARD).read_bytes())
        return ModelCard.model_validate(content)
    except (OSError, ValueError) as error:
        reason = _first_mistake(error) if isinstance(error, ValidationError) else error
        raise ValueError(f"{folder / CARD}: not a model card this version can read ({reason})") from error


def load_producer(folder: Path, device: torch.device | None = None) -> Producer:
    """Return what the export makes images with.

    Raises:
        ValueError: Card or weights are missing or damaged, or do not fit each other.
    """
    from safetensors.torch import load_file  # imports torch

    card = read_card(folder)
    network: nn.Module = card.recipe.serving_network(card.size)
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{folder / WEIGHTS}: not a readable file of weights ({error})") from error
    except RuntimeError as error:
        raise ValueError(f"{folder / WEIGHTS}: the weights do not fit {CARD} ({error})") from error
    network.to(memory_format=torch.channels_last)
    return card.recipe.producer(network.to(device or torch.device("cpu")))


def _first_mistake(error: ValidationError) -> str:
    mistake = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, mistake['loc']))}: {mistake['msg']}"
