"""Gate: the pure decision whether a challenger replaces the champion, with its reasons in words.

Nothing is read, drawn or changed here; components.tracking carries a decision out.
"""

import math
from collections.abc import Collection, Iterator
from typing import Literal, NamedTuple, Self

from components.evaluation import refusals
from components.evaluation.luck import stretch
from components.evaluation.protocol import MODEL_ROW, Score, ScoreTable, differences
from components.evaluation.rule import Floor as Floor
from components.evaluation.rule import Guard
from components.evaluation.rule import PromotionRule as PromotionRule
from components.section import Section

AWAITED = "a person's approval is awaited, as promotion.approval asks; the gate itself would promote"
FEWEST_PAIRS = 30
_NORMAL_975 = 1.959964


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
    today: ScoreTable | None = None,
) -> Decision:
    """Decide from two tables of scores whether the challenger replaces the champion.

    Evidence that is missing, not finite or measured under another protocol is a hold, whatever else is known. Without
    a champion the challenger must beat the baselines and keep the floors. Where the rule asks for a person's approval,
    what would be promoted is held. Rejected, whatever else is known, is a challenger that was trained on the features
    that judge it, one that copies training images, and one judged on images that it was trained on.

    Args:
        challenger: Scores of the new model and of the baselines beside it.
        champion: Scores of the model in service, or None if there is none.
        rule: What counts as better.
        attempt: Which attempt of the last `rule.attempt_days` this is, from 1; see `components/evaluation/luck.py`.
        trained_on: sha256 of the weights of each network through whose features the challenger's losses looked.
        today: The challenger's scores against the images of the night, where others decide: copies of new training
            images are seen there.
    """
    tables = [challenger] if today is None else [challenger, today]
    if refused := refusals.refused(tables, rule, trained_on):
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
        yield from (_keeps(floor, one) for one in challenger.matching(MODEL_ROW, floor.metric) or (None,))
    unfit = _unfit(score, "challenger", rule)
    if score is None or unfit:
        yield _Finding("hold", unfit)
        return
    if champion is not None:
        incumbent = champion.find(MODEL_ROW, rule.metric)
        margin = max(rule.margin, rule.relative_margin * abs(incumbent.value)) if incumbent else rule.margin
        yield _beats(score, incumbent, "champion", rule, margin=margin, wider=wider)
        for guard in rule.also:
            yield _no_worse(guard, challenger.find(MODEL_ROW, guard.metric), champion.find(MODEL_ROW, guard.metric))
    rivals = {name: challenger.find(name, rule.metric) for name in _rivals(challenger, rule)}
    for name in sorted(rivals, key=lambda name: _ease(rivals[name])):
        yield _beats(score, rivals[name], f"baseline {name}", rule, margin=0.0, wider=wider)
    if rule.must_beat_baselines is True and not rivals:
        yield _Finding("hold", "no baseline was measured beside the challenger, and the rule asks to beat them")
    if champion is None:
        yield _Finding("promote", f"there is no champion yet; {_written(score)} beats what it had to")
    for reason in refusals.passed(challenger, rule):
        yield _Finding("promote", reason)


def _rivals(challenger: ScoreTable, rule: PromotionRule) -> tuple[str, ...]:
    if isinstance(rule.must_beat_baselines, tuple):
        return rule.must_beat_baselines
    if not rule.must_beat_baselines:
        return ()
    return tuple(name for name in challenger.baselines if not refusals.is_exempt(challenger, name, rule))


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


def _no_worse(guard: Guard, score: Score | None, other: Score | None) -> _Finding:
    """Return whether another score is at most as much worse than the champion's as its guard lets it be."""
    if score is None or other is None:
        owner = "challenger" if score is None else "champion"
        return _Finding("hold", f"the {owner} has no score {guard.metric!r}, which must not get worse")
    if unlike := differences(score, other):
        return _Finding("hold", f"{guard.metric} of challenger and champion cannot be compared: {'; '.join(unlike)}")
    worse = -improvement(score, other).value
    against = f"{_written(score)} against the champion's {other.value:.6g}"
    if worse > guard.may_worsen:
        return _Finding("reject", f"{against} is worse by {worse:.4g}, more than the {guard.may_worsen:.4g} allowed")
    return _Finding("promote", f"{against} is not worse by more than the {guard.may_worsen:.4g} allowed")


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
