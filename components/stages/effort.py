"""Effort: how many images challenger and champion have seen in all, said where one went on from another's weights."""

from collections.abc import Mapping

from components.evaluation.gate import Decision
from components.stages.candidate import Candidate, after
from components.stages.facts import BEGAN, IMAGES


def with_effort(decision: Decision, candidate: Candidate, champion: Mapping[str, str]) -> Decision:
    """Return the decision with the images that both sides have seen as its last reason.

    A training that went on from another's weights has seen that one's images too. Where neither side did, their
    configurations say how long they trained, and nothing is added.

    Args:
        decision: The gate's.
        candidate: The challenger.
        champion: What the registry says of the version that it was judged against; empty if there was none.
    """
    trained = after("train", candidate.checkpoint)
    if not trained.images_before and BEGAN not in champion:
        return decision
    words = f"images seen in all: {trained.images_in_all:,}"
    if trained.images_before:
        words += f", {trained.images_before:,} of them by the weights it began with"
    if IMAGES in champion:
        words += f"; the champion's: {champion[IMAGES]}"
    return decision.model_copy(update={"reasons": (*decision.reasons, words)})
