"""Inpainter: a network that mends pictures, alone or against a discriminator that judges patches."""

from __future__ import annotations

from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import Field

from components import seeding
from components.data.batch import Batch
from components.data.statistics import demand_images
from components.deferred.torch import Module, Tensor, nn, torch
from components.models import InpainterNetworkConfig
from components.models.network import Inpainter
from components.models.patch import PatchDiscriminator, PatchDiscriminatorConfig
from components.models.resnet import ResnetConfig
from components.objectives.penalty import Differentiated, Pass
from components.objectives.perceptual import PerceptualConfig, PerceptualLoss
from components.objectives.restoration import MaskAwareConfig, RestorationConfig, composite, feature_distance
from components.recipes.handover import Handover
from components.recipes.recipe import PRODUCER, Recipe, RestorerRecipe, expect
from components.recipes.restoring import REACH_PX, InpainterProducer
from components.section import Grown, Section
from components.training.guard import CORRECTION
from components.training.optimizer import AdamConfig, OptimizerConfig
from components.training.phase import Phase

Restores = Literal["missing", "everything"]


class AdversaryConfig(Section):
    """A discriminator that looks at patches of mended images."""

    discriminator: PatchDiscriminatorConfig = PatchDiscriminatorConfig()
    """The network that judges patches."""
    loss: MaskAwareConfig = MaskAwareConfig()
    """What the two play for."""
    weight: float = Field(default=0.01, gt=0)
    """Weight of the adversarial loss beside the reconstruction loss."""
    optimizer: OptimizerConfig = AdamConfig(rate=1e-4)
    """Steps of the discriminator."""


class InpainterConfig(RestorerRecipe, Grown):
    """A restoration network and what it is trained for."""

    kind: Literal["inpainter"] = "inpainter"
    network: InpainterNetworkConfig = ResnetConfig()
    """The network that fills in."""
    restores: Restores = "missing"
    """What a mended picture takes from the network. Missing: missing pixels alone, all others stay as they came.
    Everything: the whole picture, for damage that hides nothing, such as noise, blur and JPEG."""
    reach_px: float = Field(default=REACH_PX, gt=0, le=1024)
    """How far from known pixels `repair` trusts the network, in pixels; the middle of wider holes it fills from a
    smaller copy. A fifth of the side of the images trained on or so, for networks that see so far."""
    loss: RestorationConfig = RestorationConfig()
    """Distance between the mended and the true image."""
    perceptual: PerceptualConfig | None = None
    """Distance as a trained VGG-16 sees it, from a local file of its weights; None: off."""
    adversary: AdversaryConfig | None = None
    """A discriminator to play against; None trains on the distance alone."""
    optimizer: OptimizerConfig = AdamConfig(rate=1e-3, betas=(0.9, 0.999))
    """Steps of the network that fills in."""

    ADDED: ClassVar[frozenset[str]] = frozenset({"reach_px"})

    @property
    def features_trained_on(self) -> tuple[str, ...]:
        """sha256 of the VGG-16's weights, where the perceptual loss is on."""
        return () if self.perceptual is None else (self.perceptual.sha256,)

    @property
    def needs_statistics(self) -> bool:
        """Whether networks are told how the training images' pixels go together."""
        return self.network.needs_statistics

    def check(self, size: int, images: int | None = None) -> None:
        """Raise ValueError unless all can be built for `images` training images, if known, of `size` px."""
        super().check(size, images)
        if self.needs_statistics and images is not None:
            demand_images(images, size)

    def build(self, size: int, seed: int) -> Recipe:
        """Return networks with their initial weights and the phases: the discriminator's, if there is one, last."""
        with seeding.initialising(seed, "inpainter"):
            network = self.network.build(size)
        distance = Distance(self.loss, self.restores, self.perceptual)
        if self.adversary is None:
            objective = RestorationObjective(network, distance)
            phase = Phase("inpainter", trains=network, objective=objective, optimizer=self.optimizer)
            return Recipe(nn.ModuleDict({PRODUCER: network}), (phase,))
        with seeding.initialising(seed, "discriminator"):
            discriminator = self.adversary.discriminator.build()
        handover, differentiated = Handover(), Pass()
        mender = Phase(
            name="inpainter",
            trains=network,
            objective=AdversarialRestorationObjective(network, discriminator, distance, self.adversary, handover),
            optimizer=self.optimizer,
        )
        critic = Phase(
            name="discriminator",
            trains=discriminator,
            objective=PatchObjective(discriminator, self.adversary.loss, self.restores, handover, differentiated),
            optimizer=self.adversary.optimizer,
            settings=self.adversary.loss.game.penalty_weight,
        )
        networks = nn.ModuleDict({PRODUCER: network, "discriminator": discriminator})
        return Recipe(networks, (mender, critic), (differentiated,))

    def serving_network(self, size: int) -> Inpainter:
        """Return the network that fills in, for weights to be loaded into."""
        return self.network.build(size)

    def example(self, size: int) -> tuple[Tensor, ...]:
        """Return inputs of the serving network for one image, of the right shapes; zeros."""
        return (torch.zeros(1, 3, size, size), torch.zeros(1, 1, size, size))

    def producer(self, network: nn.Module) -> InpainterProducer:
        """Return the network behind the interface that evaluation and serving use."""
        mender = expect(network, Inpainter)  # type: ignore[type-abstract] # asked for, not made
        return InpainterProducer(mender, self.restores, self.reach_px)


def damaged(batch: Batch) -> tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, "batch 1 height width"]]:
    """Return what the network is shown: corrupted images and masks.

    Raises:
        ValueError: The batch was loaded without corruption.
    """
    if batch.corrupted is None or batch.missing is None:
        raise ValueError("an inpainter needs batches with corrupted images and masks")
    return batch.corrupted, batch.missing


def replaced(
    missing: Float[Tensor, "batch 1 height width"], restores: Restores
) -> Float[Tensor, "batch 1 height width"]:
    """Return 1 where a mended picture takes its pixels from the network, else 0."""
    return torch.ones_like(missing) if restores == "everything" else missing


class Distance:
    """How far a mended picture is from the true one: the distance of pixels and, if asked for, of what VGG sees.

    No module, so that a trained VGG-16 is neither replicated, nor written to checkpoints, nor exported.
    """

    def __init__(self, pixels: RestorationConfig, restores: Restores, perceptual: PerceptualConfig | None) -> None:
        self.pixels = pixels
        self.restores: Restores = restores
        self.perceptual = PerceptualLoss(perceptual) if perceptual else None

    def losses(
        self,
        restored: Float[Tensor, "batch 3 height width"],
        delivered: Float[Tensor, "batch 3 height width"],
        batch: Batch,
        missing: Float[Tensor, "batch 1 height width"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the loss and, detached, its parts, for the network's whole image and what is delivered of it."""
        losses = self.pixels.losses(restored, batch.images, missing)
        if self.perceptual is None:
            return losses
        seen = self.perceptual.losses(restored, delivered, batch.images)
        return {**losses, **seen, "loss": losses["loss"] + seen["loss"]}


def told(network: Inpainter) -> dict[str, Float[Tensor, ""]]:
    """Return how a network's last correction varied, if it tells, for the curves and the guard."""
    return {} if network.correction is None else {CORRECTION: network.correction}


class RestorationObjective(Module):
    """Distance to the true image alone."""

    def __init__(self, network: Inpainter, distance: Distance) -> None:
        super().__init__()
        self.network = network
        self.distance = distance

    def forward(self, batch: Batch, images: int) -> dict[str, Float[Tensor, ""]]:  # noqa: ARG002 - every objective's signature
        """Return the loss and the errors it is made of."""
        corrupted, missing = damaged(batch)
        restored = self.network(corrupted, missing).float()
        delivered = composite(restored, batch.images, replaced(missing, self.distance.restores))
        return {**self.distance.losses(restored, delivered, batch, missing), **told(self.network)}


class AdversarialRestorationObjective(Module):
    """Distance to the true image, and what the discriminator makes of the mended one.

    One forward of the network serves both, and the discriminator's phase too.
    """

    def __init__(
        self,
        network: Inpainter,
        discriminator: PatchDiscriminator,
        distance: Distance,
        adversary: AdversaryConfig,
        handover: Handover,
    ) -> None:
        super().__init__()
        self.network = network
        self.discriminator = discriminator
        self.distance = distance
        self.adversary = adversary
        self.handover = handover

    def forward(self, batch: Batch, images: int) -> dict[str, Float[Tensor, ""]]:  # noqa: ARG002 - every objective's signature
        """Return the loss and its parts."""
        corrupted, missing = damaged(batch)
        restored = self.network(corrupted, missing).float()
        delivered = composite(restored, batch.images, replaced(missing, self.distance.restores))
        self.handover.give(batch, delivered)
        losses = self.distance.losses(restored, delivered, batch, missing)
        logits, features = self.discriminator.with_features(delivered)
        adversarial = self.adversary.loss.generator_loss(logits.float())
        loss = losses["loss"] + self.adversary.weight * adversarial
        if self.adversary.loss.feature_matching:
            with torch.no_grad():
                _, true_features = self.discriminator.with_features(batch.images)
            matching = feature_distance(features, true_features)
            losses["feature_matching"] = matching.detach()
            loss = loss + self.adversary.loss.feature_matching * matching
        return {**losses, **told(self.network), "loss": loss, "adversarial": adversarial.detach()}


class PatchObjective(Module):
    """Loss of the discriminator, for which untouched parts of a mended image are real, with its gradient penalty."""

    def __init__(
        self,
        discriminator: PatchDiscriminator,
        loss: MaskAwareConfig,
        restores: Restores,
        handover: Handover,
        differentiated: Differentiated,
    ) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.loss = loss
        self.restores: Restores = restores
        self.handover = handover
        self.differentiated = differentiated

    def forward(self, batch: Batch, images: int) -> dict[str, Float[Tensor, ""]]:
        """Return the loss and, for the curves, the mean logits."""
        _, missing = damaged(batch)
        changed = replaced(missing, self.restores)
        mended = self.handover.take(batch)
        real_logits, fake_logits = self.discriminator(torch.cat([batch.images, mended])).float().chunk(2)
        game = self.loss.game.at(images, batch.global_size)
        mix = batch.uniform("penalty")
        penalty = game.penalty(self.discriminator, batch.images, mended, mix, self.differentiated)
        loss = self.loss.discriminator_loss(real_logits, fake_logits, changed)
        reported = {"penalty": penalty, "real_logit": real_logits.mean(), "fake_logit": fake_logits.mean()}
        return {"loss": loss + penalty, **{name: value.detach() for name, value in reported.items()}}
