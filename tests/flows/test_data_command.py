"""`kintsugi data` lists the versions of a growing folder, says what changed, and finds what is damaged."""

import json
import os
from pathlib import Path

import pytest

from components.data import ShapesSource
from flows import cli

PICTURES = [item.content for item in ShapesSource(images=60, raster_px=16).items()]


def put(path: Path, numbers: range) -> None:
    for number in numbers:
        place = path / ("cat", "dog")[number % 2] / f"{number:03d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(PICTURES[number])
        os.utime(place, (1_000_000_000 + number,) * 2)


@pytest.fixture
def pile(tmp_path: Path) -> Path:
    put(tmp_path / "pile", range(40))
    return tmp_path / "pile"


@pytest.fixture
def command(mini, pile, capsys):
    """What a command prints for the smallest run on the pile."""
    source = f"dataset.source={{kind: folder, path: {pile}, labels: true}}"

    def run(command: str, *arguments: str) -> str:
        words = ["data", command, *arguments] if arguments[:1] else ["data", command, str(mini), "--set", source]
        cli.command_line()(words, exit_on_error=False, result_action="return_value")
        return capsys.readouterr().out

    run.config = [str(mini), "--set", source]
    return run


@pytest.fixture
def shard(mini, pile):
    """Shards the pile as it is now."""
    from components.artifacts import Store
    from components.config import load
    from components.data import write_shards
    from components.workspace import Workspace

    run = load(mini, [f"dataset.source={{kind: folder, path: {pile}, labels: true}}"])
    return lambda: write_shards(run.dataset, Store(Workspace.from_environment().create().store))


def test_before_the_first_version_it_says_what_makes_it(command):
    assert command("show").startswith("there is no version of this dataset yet")
    with pytest.raises(ValueError, match="there are 0 of this dataset"):
        command("diff")


def test_versions_are_listed_with_what_they_took_and_where_their_bytes_are(command, shard, pile):
    first = shard()
    put(pile, range(40, 45))
    (pile / "cat" / "002.png").unlink()
    (pile / "cat" / "004.png").rename(pile / "dog" / "004.png")
    second = shard()
    rows = json.loads(command("show", *command.config, "--json"))
    assert [(row["number"], row["digest"], row["images"]) for row in rows] == [
        (1, first.digest, 40), (2, second.digest, 44),
    ]  # fmt: skip
    assert rows[1]["growth"] == {"base": first.digest, "read": 6, "encoded": 5, "kept": 39, "gone": 1}
    assert rows[0]["pointed_bytes"] == 0 < rows[1]["own_bytes"] < rows[1]["pointed_bytes"]
    assert rows[1]["tombstones"] == 2
    lines = command("show").splitlines()
    assert lines[0].split()[:5] == ["version", "images", "read", "encoded", "kept"]
    assert lines[2].split()[:6] == ["2", "44", "6", "5", "39", "1"]
    assert command("show", second.digest).splitlines()[1].endswith(second.digest)
    changed = json.loads(command("diff", *command.config, "--json"))
    assert (len(changed["new"]), len(changed["gone"])) == (5, 1)
    assert [(one["before"], one["after"]) for one in changed["changed_class"]] == [("cat", "dog")]
    assert command("diff").startswith(f"{first.digest} -> {second.digest}: 5 new, 1 gone, 1 of another class")
    assert command("diff", second.digest) == command("diff", *command.config, "1", "2") == command("diff")
    with pytest.raises(ValueError, match="7: no such version of this dataset; there are: 1, 2"):
        command("diff", *command.config, "7")


def test_a_flipped_bit_and_an_index_that_points_elsewhere_are_found(command, shard, pile):
    first = shard()
    put(pile, range(40, 45))
    second = shard()
    assert command("verify") == f"{first.digest}: whole\n{second.digest}: whole\n"
    tar = first.path / "train-000000.tar"
    content = tar.read_bytes()
    tar.write_bytes(content[:600] + bytes([content[600] ^ 1]) + content[601:])
    with pytest.raises(SystemExit, match="1"):
        command("verify", second.digest)
    tar.write_bytes(content.replace(b"kintsugi", b"kintsugj", 1))
    with pytest.raises(SystemExit, match="1"):
        command("verify")
    with pytest.raises(ValueError, match="there is no data version 00000000000000000000"):
        command("verify", "0" * 20)
