"""Promote: register a trained model, judge it against the champion on the same evidence, act on the decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from components.data.statistics import statistics_digest
from components.evaluation.gate import Decision, decide
from components.models.features import named
from components.recipes.export import read_card
from components.section import digest_of
from components.stages.candidate import Candidate, Data, Evaluated, EvaluationSet, Promotion, Start, after
from components.stages.columns import show_training
from components.stages.effort import with_effort
from components.stages.evaluate import EVALUATION, Measurement, measure, with_baselines
from components.stages.facts import facts_of
from components.stages.site import Site, registered_name, tracked
from components.tracking import registry
from components.tracking.decisions import rejected
from components.tracking.environment import code_commit
from components.tracking.ledger import Entry
from components.tracking.packaging import Delivery
from components.tracking.versions import SAW_FORGOTTEN, KeptDecision

_ROUNDS = 5
_TELLING = ("samples.png", "restorations.png", "reconstructions.png")


@dataclass(frozen=True)
class Incumbent:
    """The champion that a candidate is judged against."""

    version: int | None
    """None if no version is in service."""
    evaluated: Evaluated | None
    """Its scores on the candidate's evidence; None where there is none, or they cannot be had."""
    obstacle: Decision | None = None
    """Why they cannot be had."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the registry says of it."""


def promote(candidate: Candidate, data: Data, site: Site) -> Candidate:
    """Return the measured candidate with what became of it: registered and, if the gate lets it through, in service.

    The yardstick alone decides. What the champion scores on it is known from the nights before; on fresh data it is
    measured afterwards, for people to see. A champion that changes meanwhile, because another run promotes too, is
    judged against anew.

    Raises:
        ChampionMovedError: It changed each time.
    """
    promotion = _decided(candidate, data, site)
    show_training(registry.run_of(promotion.model, promotion.version), candidate, promotion, site.night)
    if data.fresh is not None and promotion.champion_scores is not None and promotion.judged_against is not None:
        export = _delivered(promotion.model, promotion.judged_against, site).export
        what = Measurement(candidate.config, export, data.fresh, data.seed)
        fresh = measure(f"{candidate.name} champion fresh", what, site)
        promotion = promotion.model_copy(update={"champion_fresh": fresh})
    return replace(candidate, promotion=promotion)


def _decided(candidate: Candidate, data: Data, site: Site) -> Promotion:
    name = registered_name(site.experiment, candidate.name)
    version = _register(name, candidate, data, site)
    for _ in range(_ROUNDS):
        champion = registry.champion(name)
        if champion == version and (kept := registry.decision(name, version)) is not None:
            return promotion_of(name, version, kept, _incumbent(candidate, kept.judged_against, data, site), version)
        incumbent = _incumbent(candidate, champion, data, site)
        attempt = registry.attempt(name, version, candidate.config.promotion.attempt_days)
        decision = (
            refusal(registry.rejection(name, version))
            or incumbent.obstacle
            or with_effort(judge(candidate, incumbent.evaluated, data.yardstick, attempt), candidate, incumbent.facts)
        )
        registry.record_decision(name, version, decision.verdict, decision.reasons, judged_against=champion)
        try:
            now = _act(name, version, decision, champion)
        except registry.ChampionMovedError:
            continue
        except registry.WithdrawnError as error:
            now, decision = champion, Decision(verdict="hold", reasons=(str(error),))
            registry.record_decision(name, version, decision.verdict, decision.reasons, judged_against=champion)
        return promotion_of(name, version, decision, incumbent, now)
    raise registry.ChampionMovedError(name, champion, registry.champion(name))


def _incumbent(candidate: Candidate, version: int | None, data: Data, site: Site) -> Incumbent:
    """Return a version as the one to beat, measured on the candidate's evidence."""
    if version is None:
        return Incumbent(None, None)
    export = _delivered(registered_name(site.experiment, candidate.name), version, site).export
    size, wanted = read_card(export).size, data.shards.size
    if size != wanted:
        words = f"version {version} makes images of {size} px, not {wanted}"
        return Incumbent(version, None, Decision(verdict="hold", reasons=(words,)))
    what = Measurement(candidate.config, export, data.yardstick, data.seed)
    facts = registry.facts(registered_name(site.experiment, candidate.name), version)
    return Incumbent(version, with_baselines(f"{candidate.name} champion", what, site), facts=facts)


def _delivered(name: str, version: int, site: Site) -> Delivery:
    return registry.download(name, version, site.workspace.cache / "models" / f"{name}-{version}")


def _register(name: str, candidate: Candidate, data: Data, site: Site) -> int:
    checkpoint, table = after("train", candidate.checkpoint), after("evaluate", candidate.evaluated).table
    folder = checkpoint.path / "export"
    export = registry.Export(folder, checkpoint.export, checkpoint.family, read_card(folder).recipe.interface)
    shown = {metric: value for metric, value in table.values().items() if "/" not in metric}
    with tracked(site, candidate.name, checkpoint.digest) as run_id:
        return registry.register(
            name,
            export,
            lineage=_lineage(candidate, data),
            run_id=run_id,
            scores=registry.VersionScores(
                shown, table.model_dump_json(), candidate.config.promotion.metric, _picture(candidate)
            ),
            facts=facts_of(candidate, export.interface.purpose, data, site.night)
            | _inherited(data.start_of(candidate.name)),
        )


def _inherited(start: Start | None) -> dict[str, str]:
    """Return what holds of the weights that a training began with: that they have seen what was forgotten since."""
    words = registry.facts(start.model, start.version).get(SAW_FORGOTTEN) if start else None
    return {SAW_FORGOTTEN: words} if words else {}


def _picture(candidate: Candidate) -> str:
    """Return the path, among the files of the model's run, of the picture that shows best what it makes."""
    folder = after("evaluate", candidate.evaluated).scores.path / "pictures"
    present = (name for name in _TELLING if (folder / name).is_file())
    return next((f"{EVALUATION}/pictures/{name}" for name in present), "")


def _lineage(candidate: Candidate, data: Data) -> dict[str, str]:
    checkpoint, damaged = after("train", candidate.checkpoint), data.yardstick.corruptions
    lineage = {
        "source": data.shards.source_digest,
        "shards": data.shards.digest,
        "checkpoint": checkpoint.digest,
        "export": checkpoint.export,
        "config": digest_of(candidate.config.model_dump(mode="json", exclude={"execution"})),
        "code": code_commit() or "no git commit",
        "scores": after("evaluate", candidate.evaluated).scores.digest,
        "evaluation_shards": data.yardstick.shards.digest,
    }
    if damaged is not None and candidate.config.evaluation.needs_corruption:
        lineage["corruption_set"] = damaged.digest
    if candidate.config.recipe.needs_statistics:
        lineage["statistics"] = statistics_digest(data.shards)
    if (start := data.start_of(candidate.name)) is not None:
        lineage |= {"start": start.export, "start_version": str(start.version), "start_checkpoint": start.checkpoint}
    return lineage


def refusal(rejection: Entry | None) -> Decision | None:
    """Return a person's rejection of a version as the decision about it, which no run judges anew; or None."""
    return None if rejection is None else Decision(verdict="reject", reasons=(rejected(rejection),))


def judge(candidate: Candidate, champion: Evaluated | None, judged_on: EvaluationSet, attempt: int) -> Decision:
    """Return the gate's decision about a measured candidate, with the ground it rests on as the last reason.

    Args:
        candidate: The challenger.
        champion: What it is to beat; None if nothing is in service.
        judged_on: The held-out images that both were measured on.
        attempt: Which attempt of the rule's span of days it is, from 1.
    """
    evaluated = after("evaluate", candidate.evaluated)
    decision = decide(
        evaluated.table,
        champion.table if champion else None,
        candidate.config.promotion,
        attempt=attempt,
        trained_on=candidate.config.recipe.features_trained_on,
        today=evaluated.fresh.table if evaluated.fresh else None,
    )
    ground = f"judged on {judged_on.name}: {judged_on.facts}"
    teachers = [named(sha256) for sha256 in candidate.config.recipe.features_trained_on]
    taught = (f"it was trained through the features of {', '.join(teachers)}",) if teachers else ()
    return decision.model_copy(update={"reasons": (*decision.reasons, ground, *taught)})


def _act(name: str, version: int, decision: Decision, champion: int | None) -> int | None:
    """Return the version in service after the decision."""
    if decision.verdict != "promote":
        return champion
    return registry.promote(name, version, judged_against=champion, by="gate").champion


def promotion_of(
    name: str, version: int, decision: Decision | KeptDecision, incumbent: Incumbent, champion: int | None
) -> Promotion:
    """Return what became of a version that was judged against `incumbent`, with `champion` in service since."""
    return Promotion(
        model=name,
        version=version,
        verdict=decision.verdict,
        reasons=decision.reasons,
        judged_against=incumbent.version,
        champion=champion,
        champion_scores=incumbent.evaluated.scores if incumbent.evaluated else None,
    )
