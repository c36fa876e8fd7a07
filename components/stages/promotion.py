"""Promotion: register a trained model, judge it against the champion on the same evidence, act on the decision."""

from dataclasses import dataclass

from components.config import ModelConfig
from components.data import ShardSet
from components.evaluation.gate import Decision, decide
from components.recipes.export import read_card
from components.section import Section, digest_of
from components.stages.measuring import Evaluated, Scores, evaluate_export, measure
from components.stages.preparation import EvaluationSet, EvaluationSets
from components.stages.site import Site, registered_name, tracked
from components.stages.training import Checkpoint
from components.tracking import registry
from components.tracking.environment import code_commit
from components.tracking.packaging import Delivery
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
    champion_fresh: Scores | None = None
    """That champion's scores on the held-out images of today's data, where the candidate has such."""


def promote(candidate: Candidate, shards: ShardSet, sets: EvaluationSets, seed: int, site: Site) -> Promotion:
    """Register the candidate and, if the gate lets it through, put it in service.

    The yardstick alone decides. What the champion scores on it is known from the nights before; on fresh data it is
    measured afterwards, for people to see. A champion that changes meanwhile, because another run promotes too, is
    judged against anew.

    Args:
        candidate: The model with its scores.
        shards: What it was trained on.
        sets: What it was measured on.
        seed: Seed of the evaluation.
        site: Where the run happens.

    Raises:
        ChampionMovedError: It changed each time.
    """
    promotion = _decided(candidate, shards, sets.yardstick, seed, site)
    if sets.fresh is None or promotion.champion_scores is None or promotion.judged_against is None:
        return promotion
    export = _delivered(promotion.model, promotion.judged_against, site).export
    fresh = measure(f"{candidate.name} champion fresh", candidate.model, export, sets.fresh, seed, site)
    return promotion.model_copy(update={"champion_fresh": fresh})


def _decided(candidate: Candidate, shards: ShardSet, judged_on: EvaluationSet, seed: int, site: Site) -> Promotion:
    name = registered_name(site.experiment, candidate.name)
    version = _register(name, candidate, shards, judged_on, site)

    def measured(champion: int | None) -> Evaluated | Decision | None:
        """Return the champion's scores on the candidate's evidence, or why they cannot be had."""
        if champion is None:
            return None
        export = _delivered(name, champion, site).export
        size = read_card(export).size
        if size != shards.size:
            return Decision(
                verdict="hold", reasons=(f"version {champion} makes images of {size} px, not {shards.size}",)
            )
        return evaluate_export(f"{candidate.name} champion", candidate.model, export, judged_on, seed, site)

    for _ in range(_ROUNDS):
        champion = registry.champion(name)
        if champion == version and (kept := registry.decision(name, version)) is not None:
            return _promotion(name, version, kept, kept.judged_against, version, measured(kept.judged_against))
        against = measured(champion)
        decision = against if isinstance(against, Decision) else _decide(candidate, against, judged_on)
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


def _delivered(name: str, version: int, site: Site) -> Delivery:
    return registry.download(name, version, site.workspace.cache / "models" / f"{name}-{version}")


def _register(name: str, candidate: Candidate, shards: ShardSet, judged_on: EvaluationSet, site: Site) -> int:
    checkpoint, table = candidate.checkpoint, candidate.evaluated.table
    needed = judged_on.corruptions if candidate.model.evaluation.needs_corruption else None
    lineage = {
        "source": shards.source_digest,
        "shards": shards.digest,
        "checkpoint": checkpoint.digest,
        "export": checkpoint.export,
        "config": digest_of(candidate.model.model_dump(mode="json", exclude={"execution"})),
        "code": code_commit() or "no git commit",
        "scores": candidate.evaluated.scores.digest,
        "evaluation_shards": judged_on.shards.digest,
    }
    if needed is not None:
        lineage["corruption_set"] = needed.digest
    with tracked(site, candidate.name, checkpoint.digest) as run_id:
        return registry.register(
            name,
            checkpoint.path / "export",
            export_digest=checkpoint.export,
            family=checkpoint.family,
            interface=read_card(checkpoint.path / "export").recipe.interface,
            lineage=lineage,
            run_id=run_id,
            scores={metric: value for metric, value in table.values().items() if "/" not in metric},
            score_table=table.model_dump_json(),
            metric=candidate.model.promotion.metric,
            facts={"images seen in training": f"{checkpoint.images:,}", "images in the data": f"{shards.accepted:,}"},
        )


def _decide(candidate: Candidate, champion: Evaluated | None, judged_on: EvaluationSet) -> Decision:
    decision = decide(candidate.evaluated.table, champion.table if champion else None, candidate.model.promotion)
    ground = f"judged on {judged_on.name}: {judged_on.facts}"
    return decision.model_copy(update={"reasons": (*decision.reasons, ground)})


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
