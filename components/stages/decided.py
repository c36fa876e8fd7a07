"""Decided: what `promote` would come to, where registry and store have it already. Nothing is made or changed."""

from dataclasses import replace

from components.artifacts import Store
from components.evaluation.gate import Decision
from components.stages.candidate import Candidate, Data, Evaluated, Promotion, after
from components.stages.effort import with_effort
from components.stages.foresee import Foreseen, known_scores
from components.stages.promote import Incumbent, judge, promotion_of, refusal
from components.stages.site import registered_name
from components.tracking import registry
from components.tracking.attempts import attempt_of
from components.tracking.standing import State
from components.tracking.versions import KeptDecision


def decided_before(foreseen: Foreseen, data: Data, experiment: str, store: Store) -> Foreseen:
    """Return a measured model as the registry has it, with its promotion unless there is still something to do.

    There is, where it is not registered, would enter service, or would be judged against a champion that is not
    measured on the same evidence.
    """
    candidate = foreseen.candidate
    state = registry.state(registered_name(experiment, candidate.name))
    if state is None:
        return foreseen
    export = after("train", candidate.checkpoint).export
    version = min((one.number for one in state.versions.values() if one.export_digest == export), default=None)
    promotion = None if version is None else _promotion(candidate, version, state, data, store)
    return replace(
        foreseen,
        candidate=replace(candidate, promotion=promotion),
        version=version,
        champion=state.standing.champion,
    )


def _promotion(candidate: Candidate, version: int, state: State, data: Data, store: Store) -> Promotion | None:
    champion, kept = state.standing.champion, state.versions[version].decision
    is_serving = champion == version and kept is not None
    against = kept.judged_against if kept is not None and is_serving else champion
    incumbent = _incumbent(candidate, against, state, data, store)
    if incumbent is None:
        return None
    attempt = attempt_of(state, version, candidate.config.promotion.attempt_days)
    decision: Decision | KeptDecision = refusal(state.history.rejection(version)) or with_effort(
        judge(candidate, incumbent.evaluated, data.yardstick, attempt), candidate, incumbent.facts
    )
    is_held = version in state.history.withdrawn and decision.verdict == "promote" and kept is not None
    if kept is not None and (is_serving or (is_held and kept.verdict == "hold")):
        decision = kept  # in service, or kept out of it by a person
    elif decision.verdict == "promote":
        return None
    promotion = promotion_of(state.name, version, decision, incumbent, champion)
    if data.fresh is None or incumbent.version is None:
        return promotion
    export = state.versions[incumbent.version].export_digest
    fresh = known_scores(candidate.config, export, data.fresh, data.seed, store)
    return None if fresh is None else promotion.model_copy(update={"champion_fresh": fresh})


def _incumbent(candidate: Candidate, version: int | None, state: State, data: Data, store: Store) -> Incumbent | None:
    """Return a version as the one to beat; None if its scores on the candidate's evidence are not known."""
    if version is None:
        return Incumbent(None, None)
    if version not in state.versions:
        return None
    export, evaluated = state.versions[version].export_digest, after("evaluate", candidate.evaluated)
    scores = known_scores(candidate.config, export, data.yardstick, data.seed, store)
    if scores is None:
        return None
    measured = Evaluated(scores=scores, baselines=evaluated.baselines)
    return Incumbent(version, measured, facts=state.versions[version].facts)
