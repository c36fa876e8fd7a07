"""Refusals: what bars a challenger whatever its scores: a judge it was trained on, copies, a leak between splits."""

from collections.abc import Collection, Iterator, Sequence

from components.evaluation.copies import Finding, copies_in, judged, leaked_in
from components.evaluation.protocol import MODEL_ROW, ScoreTable
from components.evaluation.rule import PromotionRule


def refused(tables: Sequence[ScoreTable], rule: PromotionRule, trained_on: Collection[str]) -> tuple[str, ...]:
    """Return why a challenger may not be judged by its scores, in words with numbers; nothing if it may.

    Args:
        tables: The challenger's scores where they decide and, if those are others, on the night's own images.
        rule: What is asked for.
        trained_on: sha256 of the weights of each network through whose features the challenger's losses looked.
    """
    found = list(_pleased(tables[0], rule, trained_on))
    for table in tables:
        copying = _copying(table, MODEL_ROW, rule)
        if copying is not None and copying.copies:
            found.append(f"copies of training images: {copying.words}")
        found += _leaked(table, rule)
    return tuple(dict.fromkeys(found))


def passed(table: ScoreTable, rule: PromotionRule) -> Iterator[str]:
    """Yield what near-copies there are of a challenger that is not refused for them, where they were looked for."""
    copying = _copying(table, MODEL_ROW, rule)
    if copying is not None and not copying.copies:
        few = "" if copying.tells else "; so few pictures do not always give away 1 % of copies"
        yield f"no more copies of training images than chance makes: {copying.words}{few}"


def is_exempt(table: ScoreTable, baseline: str, rule: PromotionRule) -> bool:
    """Return whether a baseline need not be beaten, for it is seen to copy or is said to and too little is seen."""
    copying = _copying(table, baseline, rule)
    if copying is None or not (copying.copies or copying.tells):
        return baseline in rule.exempt_baselines
    return copying.copies


def _copying(table: ScoreTable, row: str, rule: PromotionRule) -> Finding | None:
    score = copies_in(table, row)
    return None if score is None or not rule.copies_significance else judged(score, rule.copies_significance)


def _leaked(table: ScoreTable, rule: PromotionRule) -> Iterator[str]:
    share = leaked_in(table)
    if share is not None and share.low > rule.most_leaked:
        yield (
            f"held-out images that are training images: {round(share.value * share.protocol.samples):,} of "
            f"{share.protocol.samples:,} show what a training image shows ({share.value:.1%}, {share.low:.1%} to "
            f"{share.high:.1%}), more than the {rule.most_leaked:.1%} that promotion.most_leaked allows"
        )


def _pleased(challenger: ScoreTable, rule: PromotionRule, trained_on: Collection[str]) -> Iterator[str]:
    """Yield, in words, each deciding score by features that the challenger was trained to please."""
    named = (rule.metric, *(floor.metric for floor in rule.floors), *(guard.metric for guard in rule.also))
    scores = {score.name: score for name in named for score in challenger.matching(MODEL_ROW, name)}
    for name, score in scores.items():
        judge = score.protocol.extractor_sha256
        if judge is not None and judge in trained_on:
            yield (
                f"{name} judges by the features of a network (weights sha256 {judge[:16]}…) that the challenger was "
                "trained on; a judge must be one that it was not"
            )
