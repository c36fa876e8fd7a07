"""`kintsugi yardstick` lists what a run is judged on, and pins anew only with a name and a reason."""

import json

import pytest

from flows import cli


@pytest.fixture
def say(mini, capsys):
    """What the command prints for the smallest run."""

    def run(*arguments: str) -> str:
        cli.command_line()(["yardstick", str(mini), *arguments], exit_on_error=False, result_action="return_value")
        return capsys.readouterr().out

    return run


def test_before_the_first_night_it_says_what_that_will_do(say):
    assert say() == "no evaluation set of mini is pinned yet; its first run pins the held-out images of its data\n"
    assert json.loads(say("--json")) == []


def test_a_renewal_is_in_force_and_the_version_before_it_is_still_listed(say):
    say("--renew", "--by", "ann", "--reason", "the start")
    more = ("--set", "dataset.source.images=400")
    table = say(*more, "--renew", "--by", "bob", "--reason", "a hundred more").splitlines()
    assert table[0].split() == ["set", "state", "images", "size", "since", "by", "reason", "shards"]
    assert "in force" not in table[1]
    assert "in force" in table[2]
    rows = json.loads(say(*more, "--json"))
    assert [(row["number"], row["by"], row["reason"], row["in_force"]) for row in rows] == [
        (1, "ann", "the start", False),
        (2, "bob", "a hundred more", True),
    ]
    assert rows[1]["images"] > rows[0]["images"]
    older = json.loads(say(*more, "--set", "evaluation_set={pinned: 1}", "--json"))
    assert [row["in_force"] for row in older] == [True, False]


def test_versions_of_other_options_are_listed_as_such(say):
    say("--renew", "--by", "ann", "--reason", "the start")
    assert "other dataset options" in say("--set", "dataset.size=32")


@pytest.mark.parametrize("arguments", [("--renew",), ("--renew", "--by", "ann"), ("--reason", "why")])
def test_a_renewal_without_a_name_or_a_reason_changes_nothing(say, arguments):
    with pytest.raises(ValueError, match="--renew"):
        say(*arguments)
    assert json.loads(say("--json")) == []
