"""Gate: the pure decision whether a challenger replaces the champion, with its reasons in words.

Nothing is read, drawn or changed here; components.tracking carries a decision out.
"""

import math
from collections.abc import Collection, Iterator
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from components.evaluation.luck import stretch
from components.evaluation.protocol import MODEL_ROW, Score, ScoreTable, differences
from components.section import Section

AWAITED = "a person's approval is awaited, as promotion.approval asks; the gate itself would promote"
FEWEST_PAIRS = 30
_NORMAL_975 = 1.959964
_ADDED = ("approval", "attempt_days")
"""Fields of a rule that are left out where they hold their default: rules from before they were keep their digests."""


class Floor(Section):
    """An absolute limit on one score of the challenger."""

    metric: str
    """Name of the score."""
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    """Smallest value allowed, in the score's unit."""
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    """Largest value allowed, in the score's unit."""

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"the floor on {self.metric!r} needs at_least or at_most")
        return self


class PromotionRule(Section):
    """When a challenger may replace the champion."""

    metric: str
    """Name of the score that decides, e.g. `fd_efficientnet_lite0` or `psnr_hole`."""
    better: Literal["lower", "higher"] | None = None
    """Which direction is an improvement; None takes the score's own, any other must agree with it."""
    margin: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Least improvement on the champion, in the score's unit."""
    relative_margin: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Least improvement on the champion as a fraction of its value; the larger of the two margins holds."""
    beyond_noise: bool = True
    """Whether the 95 % interval of the improvement must lie above zero, against champion and baselines alike."""
    must_beat_baselines: bool | tuple[str, ...] = True
    """Baselines that must be beaten: true for all that were measured, false for none, or a list of names."""
    exempt_baselines: tuple[str, ...] = ("template",)
    """Baselines that `true` leaves out; `template` copies training images, which no score here can see."""
    floors: tuple[Floor, ...] = ()
    """Absolute limits that the challenger must keep."""
    approval: Literal["none", "required"] = "none"
    """required: a version that the gate would promote is held until a person says `kintsugi approve` or `reject`."""
    attempt_days: int = Field(default=7, ge=0, le=365)
    """Days over which versions of the model are counted as attempts at being better (days). The interval of the
    improvement widens with their number, so that of equal challengers at most 5 in 100 such spans see one promoted by
    luck, however many are tried; a single attempt is judged as ever. 0 counts none."""

    @model_serializer(mode="wrap")
    def _without_added_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        dumped = handler(self)
        return {name: value for name, value in dumped.items() if name not in _ADDED or value != fields[name].default}


class Decision(Section):
    """What the gate decided, and why."""

    verdict: Literal["promote", "reject", "hold"]
    """promote: replace the champion. reject: the evidence is against it. hold: the evidence is not fit to decide on,
    or the rule asks for a person's approval, and a person or another evaluation must act; the champion stays."""
    reasons: tuple[str, ...]
    """Sentences with the numbers that decided: floors, the champion, then baselines, the best of them first."""


class Improvement(NamedTuple):
    """By how much a challenger is better, in the score's unit; below zero where it is worse."""

    value: float
    low: float
    high: float
    pairs: int
    """Pictures compared one by one; 0 where only the two intervals could be compared."""

    def stretched(self, times: float) -> Self:
        """Return it with an interval so many times as wide on either side of the value; 1 changes no digit."""
        if times == 1:
            return self
        low, high = (self.value + times * (end - self.value) for end in (self.low, self.high))
        return self._replace(low=low, high=high)


class _Finding(NamedTuple):
    verdict: Literal["promote", "reject", "hold"]
    reason: str


def decide(
    challenger: ScoreTable,
    champion: ScoreTable | None,
    rule: PromotionRule,
    *,
    attempt: int = 1,
    trained_on: Collection[str] = (),
) -> Decision:
    """Decide from two tables of scores whether the challenger replaces the champion.

    Evidence that is missing, not finite or measured under another protocol is a hold, whatever else is known. Without
    a champion the challenger must beat the baselines and keep the floors. Where the rule asks for a person's approval,
    what would be promoted is held. A challenger that was trained on the features that judge it is rejected,
    whatever else is known.

    Args:
        challenger: Scores of the new model and of the baselines beside it.
        champion: Scores of the model in service, or None if there is none.
        rule: What counts as better.
        attempt: Which attempt of the last `rule.attempt_days` this is, from 1; see `components/evaluation/luck.py`.
        trained_on: sha256 of the weights of each network through whose features the challenger's losses looked.
    """
    if refused := tuple(_pleased(challenger, rule, trained_on)):
        return Decision(verdict="reject", reasons=refused)
    wider = stretch(attempt) if rule.beyond_noise else 1.0
    findings = list(_findings(challenger, champion, rule, wider))
    worst = min((finding.verdict for finding in findings), key=("hold", "reject", "promote").index)
    reasons = [reason for verdict, reason in findings if verdict == worst]
    if wider > 1:
        reasons.append(
            f"attempt {attempt} within {rule.attempt_days} days: intervals of the improvement are "
            f"{wider:.3g} times as wide as a first attempt's"
        )
    if worst == "promote" and rule.approval == "required":
        return Decision(verdict="hold", reasons=(AWAITED, *reasons))
    return Decision(verdict=worst, reasons=tuple(reasons))


def improvement(challenger: Score, other: Score) -> Improvement:
    """Return how much better `challenger` is, with a 95 % interval.

    Where both scores hold the same pictures' values (at least 30), the interval is that of the mean of the pairwise
    differences. Otherwise it comes from the two intervals by the method of variance estimates recovery, Zou and Donner
    2008, https://doi.org/10.1002/sim.3095, which takes the scores for independent; scores against one reference are
    not, so this errs on the side of the champion.
    """
    sign = 1.0 if challenger.better == "higher" else -1.0
    gain = sign * (challenger.value - other.value)
    one, two = challenger.per_image, other.per_image
    if one is not None and two is not None and len(one) == len(two) >= FEWEST_PAIRS:
        half = _paired_halfwidth([a - b for a, b in zip(one, two, strict=True)])
        return Improvement(gain, gain - half, gain + half, len(one))
    return improvement_apart(challenger, other)


def improvement_apart(challenger: Score, other: Score) -> Improvement:
    """Return how much better `challenger` is, from the two intervals alone, as `improvement` does without pairs."""
    sign = 1.0 if challenger.better == "higher" else -1.0
    gain = sign * (challenger.value - other.value)
    up, down = challenger.high - challenger.value, challenger.value - challenger.low
    other_up, other_down = other.high - other.value, other.value - other.low
    if sign < 0:
        up, down, other_up, other_down = down, up, other_down, other_up
    return Improvement(gain, gain - math.hypot(down, other_up), gain + math.hypot(up, other_down), 0)


def _findings(
    challenger: ScoreTable, champion: ScoreTable | None, rule: PromotionRule, wider: float
) -> Iterator[_Finding]:
    score = challenger.find(MODEL_ROW, rule.metric)
    for floor in rule.floors:
        yield _keeps(floor, challenger.find(MODEL_ROW, floor.metric))
    unfit = _unfit(score, "challenger", rule)
    if score is None or unfit:
        yield _Finding("hold", unfit)
        return
    if champion is not None:
        incumbent = champion.find(MODEL_ROW, rule.metric)
        margin = max(rule.margin, rule.relative_margin * abs(incumbent.value)) if incumbent else rule.margin
        yield _beats(score, incumbent, "champion", rule, margin=margin, wider=wider)
    rivals = {name: challenger.find(name, rule.metric) for name in _rivals(challenger, rule)}
    for name in sorted(rivals, key=lambda name: _ease(rivals[name])):
        yield _beats(score, rivals[name], f"baseline {name}", rule, margin=0.0, wider=wider)
    if rule.must_beat_baselines is True and not rivals:
        yield _Finding("hold", "no baseline was measured beside the challenger, and the rule asks to beat them")
    if champion is None:
        yield _Finding("promote", f"there is no champion yet; {_written(score)} beats what it had to")


def _pleased(challenger: ScoreTable, rule: PromotionRule, trained_on: Collection[str]) -> Iterator[str]:
    """Yield, in words, each deciding score by features that the challenger was trained to please."""
    for name in dict.fromkeys((rule.metric, *(floor.metric for floor in rule.floors))):
        score = challenger.find(MODEL_ROW, name)
        judge = score.protocol.extractor_sha256 if score is not None else None
        if judge is not None and judge in trained_on:
            yield (
                f"{name} judges by the features of a network (weights sha256 {judge[:16]}…) that the challenger was "
                "trained on; a judge must be one that it was not"
            )


def _rivals(challenger: ScoreTable, rule: PromotionRule) -> tuple[str, ...]:
    if isinstance(rule.must_beat_baselines, tuple):
        return rule.must_beat_baselines
    if not rule.must_beat_baselines:
        return ()
    return tuple(name for name in challenger.baselines if name not in rule.exempt_baselines)


def _ease(score: Score | None) -> float:
    """Return a number that is the lower, the harder the score is to beat; lowest for one that cannot be compared."""
    if score is None or not math.isfinite(score.value):
        return -math.inf
    return -score.value if score.better == "higher" else score.value


def _keeps(floor: Floor, score: Score | None) -> _Finding:
    if score is None or not math.isfinite(score.value):
        return _Finding("hold", f"the challenger has no finite score {floor.metric!r}, on which there is a floor")
    if floor.at_least is not None and score.value < floor.at_least:
        return _Finding("reject", f"{_written(score)} is under its floor of {floor.at_least:.6g}")
    if floor.at_most is not None and score.value > floor.at_most:
        return _Finding("reject", f"{_written(score)} is over its limit of {floor.at_most:.6g}")
    return _Finding("promote", f"{_written(score)} keeps its floor")


def _unfit(score: Score | None, owner: str, rule: PromotionRule) -> str:
    """Return why a score cannot be decided on, or an empty text."""
    if score is None:
        return f"the {owner} has no score {rule.metric!r}"
    if not all(math.isfinite(number) for number in (score.value, score.low, score.high)):
        return f"the {owner}'s {rule.metric} is not finite: {score.value} ({score.low} to {score.high})"
    if not score.low <= score.value <= score.high:
        return f"the {owner}'s {rule.metric} of {score.value} lies outside its interval {score.low} to {score.high}"
    if rule.better is not None and rule.better != score.better:
        return f"the rule takes {rule.better} {rule.metric} for better, the {owner}'s score says {score.better}"
    return ""


def _beats(
    score: Score, other: Score | None, owner: str, rule: PromotionRule, *, margin: float, wider: float
) -> _Finding:
    """Return whether `score` is better than `other` by the margin and beyond noise; equal is not better."""
    unfit = _unfit(other, owner, rule)
    if other is None or unfit:
        return _Finding("hold", unfit)
    if unlike := differences(score, other):
        return _Finding("hold", f"{rule.metric} of challenger and {owner} cannot be compared: {'; '.join(unlike)}")
    gain = improvement(score, other).stretched(wider)
    against = f"{_written(score)} against the {owner}'s {other.value:.6g} ({other.low:.6g} to {other.high:.6g})"
    if gain.value <= 0:
        return _Finding("reject", f"{against} is not better")
    if gain.value < margin:
        return _Finding("reject", f"{against} is better by {gain.value:.4g}, less than the margin of {margin:.4g}")
    basis = f"over {gain.pairs} pairs of pictures" if gain.pairs else "from both intervals"
    level = "95 %" if wider == 1 else f"95 % widened {wider:.3g} times"
    spread = f"the improvement is {gain.value:.4g} ({gain.low:.4g} to {gain.high:.4g}, {level}, {basis})"
    if rule.beyond_noise and gain.low <= 0:
        return _Finding("reject", f"{against} is within noise: {spread}")
    return _Finding("promote", f"{against} is better: {spread}")


def _written(score: Score) -> str:
    return f"{score.name} {score.value:.6g} ({score.low:.6g} to {score.high:.6g})"


def _paired_halfwidth(gaps: list[float]) -> float:
    count = len(gaps)
    mean = math.fsum(gaps) / count
    variance = math.fsum((gap - mean) ** 2 for gap in gaps) / (count - 1)
    return _NORMAL_975 * math.sqrt(variance / count)
