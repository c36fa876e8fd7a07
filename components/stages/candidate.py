"""What a run hands from stage to stage: Data, which its models share, and of each model a Candidate, which grows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from components.artifacts import Artifact
from components.artifacts.artifact import digests_in
from components.config import CorruptionConfig, ModelConfig
from components.data import CorruptionSet, ShardSet
from components.evaluation.protocol import MODEL_ROW, ScoreTable
from components.evaluation.yardstick import Yardstick
from components.quality.copies import NearCopies
from components.section import Section, digest_of

TABLE = "scores.json"
BASELINES = "baselines"
"""Subject of the scores of what needs no training."""

_Part = TypeVar("_Part")


class EvaluationSet(Section):
    """Held-out images that models are measured on and, for those that mend, damage frozen on some of them."""

    shards: ShardSet
    """Its split `test` is what is held out; its split `train` is what baselines may know."""
    corruptions: CorruptionSet | None
    """The damaged images; None where no model mends."""
    pinned: Yardstick | None
    """The version that it is; None for the held-out images of a night's own data."""

    @property
    def digest(self) -> str:
        """Equal exactly where the same images and the same damage are measured on, whatever the set is called."""
        return digest_of([self.shards.digest, self.corruptions.digest if self.corruptions else None])

    @property
    def name(self) -> str:
        """What people and reasons call it."""
        return self.pinned.name if self.pinned else "today's data"

    @property
    def facts(self) -> str:
        """What it is, in words."""
        if self.pinned is not None:
            return self.pinned.facts
        return (
            f"{self.shards.splits['test'].samples:,} held-out images of {self.shards.size} px, of the night's own data"
        )


class Start(Section):
    """The registered version whose weights a training begins with."""

    model: str
    """Registered name."""
    version: int
    export: str
    """Digest of the model by content."""
    checkpoint: str
    """Digest of the training that it came from."""
    images: int
    """Images that its weights have seen, in that training and in all before it."""
    frozen_layers: int = 0
    """First layers of a discriminator that stay as they are."""

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.model} version {self.version}"


@dataclass(frozen=True)
class Data:
    """What a run's models are trained and judged on."""

    shards: ShardSet
    """Today's images."""
    yardstick: EvaluationSet
    """What decides, and what nights are compared on."""
    fresh: EvaluationSet | None
    """The held-out images of today's data; None where they are the yardstick's."""
    corruption: CorruptionConfig | None
    """What is done to images that a model is to mend; None where no model mends."""
    seed: int
    """Every random number of the run is derived from this one."""
    copies: NearCopies | None = None
    """Near-copies among today's images, of which training leaves out what is held out, too; None trains on all."""
    starts: Mapping[str, Start | None] | None = None
    """By model, whose weights its training begins with, None where they are drawn; a model is missing for which that is
    not settled yet. None where all are drawn."""

    def is_settled(self, model: str) -> bool:
        """Return whether it is known whose weights the training of a model begins with."""
        return self.starts is None or model in self.starts

    def start_of(self, model: str) -> Start | None:
        """Return whose weights the training of a model begins with; None: they are drawn, or nobody knows yet."""
        return (self.starts or {}).get(model)

    @property
    def today(self) -> EvaluationSet:
        """The held-out images of today's data."""
        return self.fresh or self.yardstick


class Checkpoint(Artifact):
    """A finished training: `export/` is served, `checkpoint/` resumes, `curve.jsonl` and `pictures/` show its way."""

    family: str
    """Kind of its recipe."""
    images: int
    """Images seen."""
    images_before: int = 0
    """Images that the weights it began with had seen; 0 where they were drawn."""
    export: str
    """Digest of `export/`, the model's name by content."""

    @classmethod
    def needs(cls, manifest: Mapping[str, Any]) -> frozenset[str]:
        """Return the digests of what it was trained on; the weights it began with are in it."""
        return digests_in({**manifest["inputs"], "start": None})

    @property
    def images_in_all(self) -> int:
        """Images that its weights have seen, those of the trainings that it went on from included."""
        return self.images_before + self.images


class Scores(Artifact):
    """`scores.json`, a ScoreTable with a row for the model or one for each baseline; `pictures/` of what was scored."""

    subject: str
    """Digest of the model, or "baselines"."""

    @classmethod
    def belongs_to(cls, manifest: Mapping[str, Any]) -> frozenset[str]:
        """Return the model's digest; of baselines that of the images they were measured on."""
        subject, shards = manifest["fields"]["subject"], manifest["inputs"]["shards"]
        return frozenset({shards if subject == BASELINES else subject})

    @property
    def table(self) -> ScoreTable:
        """Return the scores."""
        return ScoreTable.read(self.path / TABLE)


class Evaluated(Section):
    """What is known of one model: its own scores and, under the same protocols, those of what needs no training."""

    scores: Scores
    baselines: Scores
    fresh: Scores | None = None
    """Its scores on the held-out images of today's data; None where these are the yardstick's, or were not measured."""

    @property
    def table(self) -> ScoreTable:
        """Return the model's row and the baselines' rows in one table: what decides."""
        return ScoreTable(
            subject=self.scores.subject,
            rows={MODEL_ROW: self.scores.table.rows[MODEL_ROW], **self.baselines.table.rows},
        )


class Promotion(Section):
    """What became of a candidate."""

    model: str
    """Registered name."""
    version: int
    """Version of the candidate."""
    verdict: str
    """promote, reject or hold."""
    reasons: tuple[str, ...]
    """Why, in words with numbers."""
    judged_against: int | None
    """Version that was champion before, or None."""
    champion: int | None
    """Version in service now."""
    champion_scores: Scores | None
    """Scores of the champion it was judged against, measured on the same evidence."""
    champion_fresh: Scores | None = None
    """That champion's scores on the held-out images of today's data, where the candidate has such."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The commands by which a person answers a hold; none where nothing waits for one."""
        if self.verdict != "hold":
            return ()
        said = f"{self.model} {self.version} --by WHO --reason WHY"
        return (f"kintsugi approve {said}", f"kintsugi reject {said}")


@dataclass(frozen=True)
class Candidate:
    """One model on its way through a run. Each stage returns it with what it has added."""

    name: str
    """Its name in the run's configuration."""
    config: ModelConfig
    checkpoint: Checkpoint | None = None
    """Since `train`."""
    evaluated: Evaluated | None = None
    """Since `evaluate`."""
    promotion: Promotion | None = None
    """Since `promote`."""
    failure: str | None = None
    """Why it got no further, in words; None for one that did."""


def after(stage: str, part: _Part | None) -> _Part:
    """Return the part that `stage` has added to a candidate.

    Raises:
        ValueError: The candidate has not been there.
    """
    if part is None:
        raise ValueError(f"the candidate has not been through the stage {stage!r} yet")
    return part
