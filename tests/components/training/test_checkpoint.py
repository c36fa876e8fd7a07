"""Checkpoints: to the bit, verified before use, kept in number, and never half visible."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.training.checkpoint import CheckpointWriter, load_newest

ROOT = Path(__file__).parents[3]


def save(played, folder: Path, *places: int, keep: int = 5, run: str = "run") -> None:
    with closing(CheckpointWriter(folder, run, keep)) as writer:
        for images in places:
            played.train(images)
            writer.save(played.state)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_tensor_comes_back_bitwise_with_its_memory_layout(game, tmp_path):
    played, fresh = game(dropout=0.2), game(dropout=0.2)
    save(played, tmp_path, 40)
    assert load_newest(tmp_path, "run", fresh.state)
    expected, found = played.state.tensors(), fresh.state.tensors()
    assert expected.keys() == found.keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    assert (fresh.state.images, fresh.state.guard.skipped) == (40, 0)
    for name, optimizer in played.state.optimizers.items():
        restored = fresh.state.optimizers[name].state_dict()["state"]
        for index, values in optimizer.state_dict()["state"].items():
            assert {key: (value.stride(), value.dtype) for key, value in values.items()} == {
                key: (value.stride(), value.dtype) for key, value in restored[index].items()
            }


def test_adam_and_channels_last_go_on_as_if_never_stopped(game, tmp_path):
    played, fresh = game(), game()
    save(played, tmp_path, 40)
    load_newest(tmp_path, "run", fresh.state)
    for one in (played, fresh):
        one.train(80)
    expected, found = played.state.tensors(), fresh.state.tensors()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_training_may_go_on_while_a_checkpoint_is_written(game, tmp_path):
    played, fresh = game(), game()
    with closing(CheckpointWriter(tmp_path, "run", 2)) as writer:
        played.train(16)
        expected = {name: tensor.clone() for name, tensor in played.state.tensors().items()}
        writer.save(played.state)
        played.train(80)
    load_newest(tmp_path, "run", fresh.state)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in fresh.state.tensors().items())


def test_the_newest_are_kept_and_the_drafts_of_killed_writers_deleted(game, tmp_path):
    (tmp_path / ".000000000008.abcdef12.part").mkdir()
    save(game(), tmp_path, 8, 16, 24, 32, keep=2)
    assert names(tmp_path) == ["000000000024", "000000000032"]


def test_there_may_be_no_checkpoint(game, tmp_path):
    assert not load_newest(tmp_path / "none", "run", game().state)


def test_another_runs_checkpoint_is_refused(game, tmp_path):
    save(game(), tmp_path, 8, run="theirs")
    with pytest.raises(ValueError, match="belongs to run theirs, this is run ours"):
        load_newest(tmp_path, "ours", game().state)


def test_a_checkpoint_of_other_networks_is_refused_with_a_name(game, tmp_path):
    save(game(), tmp_path, 8)
    other = game()
    other.networks["other"] = torch.nn.Conv2d(3, 3, 3)
    with pytest.raises(
        ValueError, match=r"network/other.weight: found shape \(3, 3, 1, 1\), expected shape \(3, 3, 3, 3\)"
    ):
        load_newest(tmp_path, "run", other.state)


DAMAGE = {
    "cut": lambda path: (path / "state.safetensors").write_bytes((path / "state.safetensors").read_bytes()[:-1]),
    "no tensors": lambda path: (path / "state.safetensors").unlink(),
    "no facts": lambda path: (path / "state.json").unlink(),
    "empty facts": lambda path: (path / "state.json").write_bytes(b""),
    "facts of another kind": lambda path: (path / "state.json").write_bytes(b"[1, 2]"),
    "not text": lambda path: (path / "state.json").write_bytes(b"\xff\xfe\x00"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_checkpoint_costs_one_interval_and_is_replaced(how, game, tmp_path, caplog):
    save(game(), tmp_path, 8, 16, 24)
    DAMAGE[how](tmp_path / "000000000024")
    fresh = game()
    assert load_newest(tmp_path, "run", fresh.state)
    assert fresh.state.images == 16
    assert "000000000024: not a whole checkpoint" in caplog.text
    with closing(CheckpointWriter(tmp_path, "run", 1, resumed_at=16)) as writer:
        for images in (20, 24):
            fresh.train(images, batch=4)
            writer.save(fresh.state)
            writer.wait()
            again = game()
            assert load_newest(tmp_path, "run", again.state)
            assert again.state.images == images
    assert names(tmp_path) == ["000000000024"]


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory):
    return tmp_path_factory.mktemp("flips")


@settings(max_examples=40)
@given(data=st.data(), name=st.sampled_from(["state.safetensors", "state.json"]))
def test_no_flipped_bit_is_loaded(data, name, game, two_checkpoints):
    if not names(two_checkpoints):
        save(game(), two_checkpoints, 8, 16)
    path = two_checkpoints / "000000000016" / name
    whole = path.read_bytes()
    place = data.draw(st.integers(0, 8 * len(whole) - 1))
    flipped = bytearray(whole)
    flipped[place // 8] ^= 1 << place % 8
    path.write_bytes(flipped)
    fresh = game()
    try:
        assert load_newest(two_checkpoints, "run", fresh.state)
    finally:
        path.write_bytes(whole)
    harmless = name == "state.json" and json_equal(flipped, whole)  # the case of a digit in "\u00e9", or white space
    assert fresh.state.images == (16 if harmless else 8)


def json_equal(one: bytes, other: bytes) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


def test_a_full_disk_is_an_error_and_older_checkpoints_survive(game, tmp_path, monkeypatch):
    played = game()
    save(played, tmp_path, 8)
    writer = CheckpointWriter(tmp_path, "run", 2)
    monkeypatch.setattr("safetensors.torch.save_file", refuse)
    played.train(16)
    writer.save(played.state)
    with pytest.raises(OSError, match="No space left"):
        writer.close()
    assert names(tmp_path) == ["000000000008"]


def refuse(tensors: object, path: Path) -> None:
    path.write_bytes(b"half")
    raise OSError(28, "No space left on device")


WRITE_UNTIL_KILLED = """
import sys, torch
from pathlib import Path
from torch import nn
from components.training.checkpoint import CheckpointWriter
from components.training.ema import EmaConfig
from components.training.guard import Guard, GuardConfig
from components.training.state import TrainingState
torch.manual_seed(0)
networks = nn.ModuleDict({"producer": nn.Linear(256, 1024)})
state = TrainingState.start(networks, (), ["producer"], EmaConfig(), Guard(GuardConfig()))
writer = CheckpointWriter(Path(sys.argv[1]), "run", 2)
print("ready", flush=True)
while True:
    state.images += 8
    writer.save(state)
    writer.wait()
    print(state.images, flush=True)
"""


@pytest.mark.slow
def test_a_writer_killed_at_any_instant_leaves_nothing_that_looks_finished_and_is_not(tmp_path):
    from components.training.checkpoint import _finished_folders, _verify

    kills = 4
    for attempt in range(kills):
        folder = tmp_path / str(attempt)
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE_UNTIL_KILLED, str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(4 + attempt)]
        time.sleep(0.0007 * attempt)  # another place in the write each time
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        finished = _finished_folders(folder)
        assert finished
        assert all(_verify(path)["images"] == int(path.name) for path in finished)
        assert int(finished[0].name) >= int(said[-1])
