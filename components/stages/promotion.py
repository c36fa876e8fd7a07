"""Promotion: register a trained model, judge it against the champion on the same evidence, act on the decision."""

from dataclasses import dataclass

from components.config import ModelConfig
from components.data import CorruptionSet, ShardSet
from components.evaluation.gate import Decision, decide
from components.recipes.export import read_card
from components.section import Section, digest_of
from components.stages.measuring import Evaluated, Scores, evaluate_export
from components.stages.site import Site, registered_name, tracked
from components.stages.training import Checkpoint
from components.tracking import registry
from components.tracking.environment import code_commit
from components.tracking.versions import KeptDecision

_ROUNDS = 5


@dataclass(frozen=True)
class Candidate:
    """A trained and measured model that asks to be put in service."""

    name: str
    model: ModelConfig
    checkpoint: Checkpoint
    evaluated: Evaluated


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


def promote(
    candidate: Candidate, shards: ShardSet, corruptions: CorruptionSet | None, seed: int, site: Site
) -> Promotion:
    """Register the candidate and, if the gate lets it through, put it in service.

    A champion that changes meanwhile, because another run promotes too, is judged against anew.

    Raises:
        ChampionMovedError: It changed each time.
    """
    name = registered_name(site.experiment, candidate.name)
    version = _register(name, candidate, shards, corruptions, site)

    def measured(champion: int | None) -> Evaluated | Decision | None:
        """Return the champion's scores on the candidate's evidence, or why they cannot be had."""
        if champion is None:
            return None
        delivery = registry.download(name, champion, site.workspace.cache / "models" / f"{name}-{champion}")
        size = read_card(delivery.export).size
        if size != shards.size:
            return Decision(
                verdict="hold", reasons=(f"version {champion} makes images of {size} px, not {shards.size}",)
            )
        stage = f"{candidate.name} champion"
        return evaluate_export(stage, candidate.model, delivery.export, shards, corruptions, seed, site)

    for _ in range(_ROUNDS):
        champion = registry.champion(name)
        if champion == version and (kept := registry.decision(name, version)) is not None:
            return _promotion(name, version, kept, kept.judged_against, version, measured(kept.judged_against))
        against = measured(champion)
        decision = against if isinstance(against, Decision) else _decide(candidate, against)
        registry.record_decision(name, version, decision.verdict, decision.reasons, judged_against=champion)
        try:
            now = _act(name, version, decision, champion)
        except registry.ChampionMovedError:
            continue
        except registry.WithdrawnError as error:
            now, decision = champion, Decision(verdict="hold", reasons=(str(error),))
            registry.record_decision(name, version, decision.verdict, decision.reasons, judged_against=champion)
        return _promotion(name, version, decision, champion, now, against)
    raise registry.ChampionMovedError(name, champion, registry.champion(name))


def _register(name: str, candidate: Candidate, shards: ShardSet, corruptions: CorruptionSet | None, site: Site) -> int:
    checkpoint, table = candidate.checkpoint, candidate.evaluated.table
    needed = corruptions if candidate.model.evaluation.needs_corruption else None
    lineage = {
        "source": shards.source_digest,
        "shards": shards.digest,
        "checkpoint": checkpoint.digest,
        "export": checkpoint.export,
        "config": digest_of(candidate.model.model_dump(mode="json", exclude={"execution"})),
        "code": code_commit() or "no git commit",
        "scores": candidate.evaluated.scores.digest,
    }
    if needed is not None:
        lineage["corruption_set"] = needed.digest
    with tracked(site, candidate.name, checkpoint.digest) as run_id:
        return registry.register(
            name,
            checkpoint.path / "export",
            export_digest=checkpoint.export,
            family=checkpoint.family,
            lineage=lineage,
            run_id=run_id,
            scores={metric: value for metric, value in table.values().items() if "/" not in metric},
            score_table=table.model_dump_json(),
            metric=candidate.model.promotion.metric,
            facts={"images seen in training": f"{checkpoint.images:,}", "images in the data": f"{shards.accepted:,}"},
        )


def _decide(candidate: Candidate, champion: Evaluated | None) -> Decision:
    return decide(candidate.evaluated.table, champion.table if champion else None, candidate.model.promotion)


def _act(name: str, version: int, decision: Decision, champion: int | None) -> int | None:
    """Return the version in service after the decision."""
    if decision.verdict != "promote":
        return champion
    return registry.promote(name, version, judged_against=champion, by="gate").champion


def _promotion(
    name: str,
    version: int,
    decision: Decision | KeptDecision,
    judged_against: int | None,
    champion: int | None,
    against: Evaluated | Decision | None,
) -> Promotion:
    return Promotion(
        model=name,
        version=version,
        verdict=decision.verdict,
        reasons=decision.reasons,
        judged_against=judged_against,
        champion=champion,
        champion_scores=against.scores if isinstance(against, Evaluated) else None,
    )
