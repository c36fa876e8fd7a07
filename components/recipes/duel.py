"""Duel: what the discriminator's and the generator's phase of a GAN minimise, and what they share."""

from __future__ import annotations

from jaxtyping import Float

from components.data.batch import Batch
from components.deferred.torch import Module, Tensor, nn, torch
from components.models.condition import Labels
from components.objectives.adaptation import Adaptation
from components.objectives.adversarial import Adversarial
from components.objectives.augmentation import AugmentationConfig
from components.objectives.lecam import Anchors
from components.objectives.penalty import Differentiated, Discriminator
from components.recipes.recipe import PRODUCER


class Duel(Module):
    """Both networks, what they play for, and what is remembered from step to step."""

    def __init__(
        self,
        networks: nn.ModuleDict,
        loss: Adversarial,
        augmentation: AugmentationConfig | None,
        *,
        conditional: bool,
    ) -> None:
        """Take the networks.

        Args:
            networks: The producer, the "discriminator" and, where they are on, "adaptation" and "anchors".
            loss: What the two play for.
            augmentation: Changes to all that the discriminator sees; None: none.
            conditional: Whether both are told the classes.
        """
        super().__init__()
        self.generator = networks[PRODUCER]
        self.latent = int(networks[PRODUCER].latent)  # type: ignore[arg-type] # torch's Module has attributes of any kind
        self.discriminator = networks["discriminator"]
        known = dict(networks.items())
        adaptation, anchors = known.get("adaptation"), known.get("anchors")
        self.adaptation = adaptation if isinstance(adaptation, Adaptation) else None
        self.anchors = anchors if isinstance(anchors, Anchors) else None
        self.loss = loss
        self.augmentation = augmentation
        self.conditional = conditional

    def made(self, batch: Batch, purpose: str) -> Float[Tensor, "batch 3 height width"]:
        """Return as many images as the batch has, from the noise called `purpose`.

        They take the classes of the real ones, which are drawn as often as they should be.
        """
        noise = batch.noise(f"latent/{purpose}", self.latent)
        images: Tensor = self.generator(noise, self.labels(batch))
        return images

    def seen(
        self, images: Float[Tensor, "batch 3 height width"], batch: Batch, purpose: str
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return what the discriminator sees of `images`."""
        if self.augmentation is None:
            return images
        chance = None if self.adaptation is None else self.adaptation.chance
        return self.augmentation.apply(
            images, batch.uniform(f"augmentation/{purpose}", self.augmentation.numbers), chance
        )

    def judge(self, batch: Batch) -> Discriminator:
        """Return the discriminator, told the classes of its images: those of the batch once or several times."""
        labels = self.labels(batch)
        if labels is None:
            return self.discriminator
        return lambda images: self.discriminator(images, labels.repeat(len(images) // len(labels)))

    def labels(self, batch: Batch) -> Labels | None:
        """Return the classes that both are told."""
        return batch.labels if self.conditional else None


class DiscriminatorObjective(Module):
    """Loss of the discriminator, with its penalties."""

    def __init__(self, duel: Duel, differentiated: Differentiated) -> None:
        super().__init__()
        self.duel = duel
        self.differentiated = differentiated

    def forward(self, batch: Batch, images: int) -> dict[str, Float[Tensor, ""]]:
        """Return the loss and, for the curves, the mean logits and what is adapted."""
        duel = self.duel
        real = duel.seen(batch.images, batch, "real")
        with torch.no_grad():
            made = duel.made(batch, "discriminator")
        fake = duel.seen(made, batch, "fake")
        loss = duel.loss.at(images, batch.global_size)
        terms = loss.discriminator_terms(duel.judge(batch), real, fake, batch.uniform("penalty"), self.differentiated)
        reported = {
            "penalty": terms.penalty,
            "real_logit": terms.real_logits.mean(),
            "fake_logit": terms.fake_logits.mean(),
        }
        total = terms.loss
        if duel.anchors is not None:
            reported["lecam"] = duel.anchors.penalty(terms.real_logits, terms.fake_logits)
            total = total + reported["lecam"]
            duel.anchors.follow(terms.real_logits, terms.fake_logits)
        if duel.adaptation is not None:
            duel.adaptation.follow(terms.real_logits)
            reported["augmentation"] = duel.adaptation.chance.clone()
        return {"loss": total, **{name: value.detach() for name, value in reported.items()}}


class GeneratorObjective(Module):
    """Loss of the generator."""

    def __init__(self, duel: Duel) -> None:
        super().__init__()
        self.duel = duel

    def forward(self, batch: Batch, images: int) -> dict[str, Float[Tensor, ""]]:  # noqa: ARG002 - every objective's signature
        """Return the loss; real images are judged only where the loss compares with them."""
        duel, judge = self.duel, self.duel.judge(batch)
        fake = duel.made(batch, "generator")
        real_logits = None
        if duel.loss.needs_real_for_generator:
            with torch.no_grad():
                real_logits = judge(duel.seen(batch.images, batch, "real")).float()
        fake_logits = judge(duel.seen(fake, batch, "made")).float()
        return {"loss": duel.loss.generator_loss(fake_logits, real_logits)}
