"""The bare loop: SNGAN's step with nothing around it, compiled and captured as one graph: the limit on a card."""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WARM_UP = 3


def bare_step(
    generator: nn.Module, discriminator: nn.Module, real: list[Tensor], noise: list[Tensor]
) -> Callable[[], None]:
    """Return a function that takes a discriminator step on each of `real` and one generator step, in bfloat16.

    Args:
        generator: Noise to image.
        discriminator: Image to logit.
        real: Batches at fixed places.
        noise: One more batch of noise than of images, at fixed places.
    """
    judged, made = (
        torch.optim.AdamW(
            network.parameters(), lr=2e-4, betas=(0.0, 0.9), weight_decay=0, fused=True, capturable=real[0].is_cuda
        )
        for network in (discriminator, generator)
    )
    autocast = torch.autocast(real[0].device.type, torch.bfloat16, cache_enabled=False)

    def step() -> None:
        discriminator.requires_grad_(requires_grad=True)
        for images, latent in zip(real, noise, strict=False):
            with autocast:
                with torch.no_grad():
                    fake = generator(latent)
                real_logits, fake_logits = discriminator(torch.cat([images, fake])).float().chunk(2)
                loss = F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()
            judged.zero_grad(set_to_none=True)
            loss.backward()
            judged.step()
        discriminator.requires_grad_(requires_grad=False)
        with autocast:
            loss = -discriminator(generator(noise[-1])).float().mean()
        made.zero_grad(set_to_none=True)
        loss.backward()
        made.step()

    return step


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """Return the step as one launch."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def rate(step: Callable[[], None], images: int, seconds: float, device: torch.device) -> float:
    """Return images/s of a step that takes so many, over so many seconds."""
    waited = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    step()
    waited()
    begun, done = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        for _ in range(4):
            step()
        waited()
        done += 4 * images
    return done / (time.monotonic() - begun)
