"""Hosts: a model, not a measurement, of what 8 to 64 cards would reach, from the step that one card was measured at."""

from typing import Any

CARDS = (8, 16, 32, 64)
A_HOST = 8
"""Cards of a host."""
WITHIN = 3e-6, 300e9
"""Between cards of a host: seconds a message, bytes a second each way (assumed: NVLink of an H100)."""
BETWEEN = 10e-6, 40e9
"""Between hosts, for each card (assumed: a network card of 400 Gbit/s each, at four fifths)."""


def all_reduce_s(size: float, cards: int) -> float:
    """Return the seconds that averaging `size` bytes over so many cards takes, ring within hosts, ring between them.

    A ring of n passes 2 (n - 1) messages of 1/n each: Patarasuk and Yuan 2009, https://doi.org/10.1016/j.jpdc.2008.09.002.
    Between hosts, each card passes on the share of the gradients that it has summed up.
    """
    near = min(cards, A_HOST)
    return _ring_s(size, near, *WITHIN) + _ring_s(size / near, cards // near, *BETWEEN)


def _ring_s(size: float, members: int, latency_s: float, bytes_a_s: float) -> float:
    return 2 * (members - 1) * (latency_s + size / members / bytes_a_s)


def modelled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each measured row that says so, images/s and efficiency with the same rows of a batch on each card.

    Gradients are averaged after the backward pass, so that nothing overlaps: the model errs on the slow side.

    Args:
        rows: Of the part `throughput`; those with "images/s", "batch" and "averaged a step, MB".
    """
    found = []
    for row in rows:
        if "averaged a step, MB" not in row:
            continue
        step_s = row["batch"] / row["images/s"]
        line = {"model": row["model"], "way": row["way"]}
        for cards in CARDS:
            whole_s = step_s + all_reduce_s(row["averaged a step, MB"] * 1e6, cards)
            line |= {f"{cards} cards, images/s": cards * row["batch"] / whole_s, f"of {cards} times": step_s / whole_s}
        found.append(line)
    return found
