"""Versions are found by what they were made from, and keep what is said of them later."""

from components.tracking import marks, registry


def test_versions_made_from_data_are_found_and_keep_what_is_said_of_them_later(registered):
    numbers = [registered(value) for value in (1, 2)]
    lineage = registry.state("gan").version(numbers[0]).lineage
    assert ("gan", numbers[0]) in set(marks.made_from(frozenset({lineage["shards"]})))
    assert not list(marks.made_from(frozenset({"0" * 20})))
    marks.mark("gan", numbers[0], {marks.SAW_FORGOTTEN: "a key: its owner asked"})
    assert registry.facts("gan", numbers[0])[marks.SAW_FORGOTTEN] == "a key: its owner asked"
    assert marks.SAW_FORGOTTEN not in registry.facts("gan", numbers[1])
