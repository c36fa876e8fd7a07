"""Versions are found by what they learnt from, and keep what is said of them later; people read it where they look."""

from mlflow import MlflowClient

from components.tracking import chronicle, marks, registry

WORDS = "a key: its owner asked"


def test_versions_that_learnt_from_data_are_found_with_those_that_began_with_their_weights(registered):
    first = registered(1, shards="old")
    registered(2, shards="new", start_version=str(first))
    registered(3, shards="new")
    assert list(marks.learnt_from(frozenset({"old"}))) == [("gan", 1), ("gan", 2)]
    assert list(marks.learnt_from(frozenset({"new"}))) == [("gan", 2), ("gan", 3)]
    assert not list(marks.learnt_from(frozenset({"0" * 20})))


def test_what_is_said_of_a_version_later_stands_on_its_card_on_its_models_and_in_the_history(registered):
    first, second = registered(1), registered(2)
    registry.record_decision("gan", first, "promote", ["there is no champion"], judged_against=None)
    registry.promote("gan", first, judged_against=None)
    for words in (WORDS, "another: a mistake", WORDS):
        marks.mark_forgotten("gan", first, words)
    assert registry.facts("gan", first)[marks.SAW_FORGOTTEN] == f"{WORDS}; another: a mistake"
    assert marks.SAW_FORGOTTEN not in registry.facts("gan", second)
    client = MlflowClient()
    for shown in (client.get_model_version("gan", str(first)), client.get_registered_model("gan")):
        assert WORDS in shown.description
    told = chronicle.history("gan")[-1]
    assert (told.action, told.version, told.champion) == ("forget", first, first)
    assert f"that version {first} learnt from; they stay in its weights. Why: {WORDS}" in told.sentence
