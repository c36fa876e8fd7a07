"""What was put into an outbox is in it after a kill at any byte, on a full disk too, and leaves it in order."""

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from components.tracking.journal import Journal
from components.tracking.outbox import Outbox

FULL = """
import resource, sys
from pathlib import Path
from components.tracking.journal import Journal
journal = Journal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # the disk that is full here
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    for number in range(1000):
        journal.append({"number": number})
except OSError:
    print(number)
"""


def numbers(journal: Journal) -> list[int]:
    return [entry["number"] for entry in journal.entries()]


def points(outbox: Outbox) -> list[tuple[str, float, int]]:
    return [(point.name, point.value, point.images) for batch, _ in outbox.points(1000) for point in batch]


def test_a_line_torn_at_any_byte_costs_only_itself(tmp_path: Path) -> None:
    whole = b"".join(json.dumps({"number": number}).encode() + b"\n" for number in range(3))
    for length in range(len(whole) + 1):
        (tmp_path / "j.jsonl").write_bytes(whole[:length])
        with closing(Journal(tmp_path / "j.jsonl")) as journal:
            kept = list(range(whole[:length].count(b"\n")))
            assert numbers(journal) == kept
            journal.append({"number": 9})
            assert numbers(journal) == [*kept, 9]


def test_what_a_power_cut_left_of_a_line_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "j.jsonl").write_bytes(b'{"number": 0}\n' + bytes(20) + b'\n17\n{"number": 1}\n')
    with closing(Journal(tmp_path / "j.jsonl")) as journal:
        assert numbers(journal) == [0, 1]


def test_what_was_sent_is_not_sent_again(tmp_path: Path) -> None:
    for expected in ([0, 1, 2], [2, 0, 1, 2], [2, 0, 1, 2, 0, 1, 2]):
        with closing(Journal(tmp_path / "j.jsonl")) as journal:
            for number in range(3):
                journal.append({"number": number})
            unsent = list(journal.unsent())
            assert [entry["number"] for entry, _ in unsent] == expected
            if len(expected) == 3:
                journal.mark_sent(unsent[1][1])


@pytest.mark.parametrize("note", [b"", b"what", b"99999"])
def test_if_it_is_not_known_what_was_sent_all_is_sent_again(tmp_path: Path, note: bytes) -> None:
    with closing(Journal(tmp_path / "j.jsonl")) as journal:
        journal.append({"number": 0})
        (tmp_path / "j.sent").write_bytes(note)
        assert len(list(journal.unsent())) == 1


def test_a_full_disk_is_said_and_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    said = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True, check=True)
    with closing(Journal(path)) as journal:
        assert numbers(journal) == list(range(int(said.stdout)))
        journal.append({"number": -1})
        assert numbers(journal)[-1] == -1


def test_a_name_stands_once_at_a_number_of_images(tmp_path: Path) -> None:
    with closing(Outbox(tmp_path / "outbox")) as outbox:
        for images in (10, 20, 30):
            outbox.add_points({"loss": float(images)}, images)
        outbox.add_picture("samples", tmp_path / "pictures" / "a.png", 20)
    with closing(Outbox(tmp_path / "outbox", since=10)) as outbox:  # killed, and resumed from a checkpoint at 10
        for images in (20, 30, 40):
            outbox.add_points({"loss": -1.0, "late": 2.0}, images)
            outbox.add_picture("samples", tmp_path / "pictures" / "a.png", images)
        first = [("loss", 10.0, 10), ("loss", 20.0, 20), ("loss", 30.0, 30)]
        then = [("late", 2.0, 20), ("late", 2.0, 30)]
        assert points(outbox) == [*first, *then, ("loss", -1.0, 40), ("late", 2.0, 40)]
        assert [picture.images for picture, _ in outbox.pictures()] == [20, 30, 40]
        assert outbox.waiting() == 10
    assert points(Outbox(tmp_path / "outbox")) == [*first, *then, ("loss", -1.0, 40), ("late", 2.0, 40)]


def test_batches_hold_no_more_than_asked_and_are_marked_one_by_one(tmp_path: Path) -> None:
    with closing(Outbox(tmp_path / "outbox")) as outbox:
        for images in range(7):
            outbox.add_points({"a": 1.0, "b": 2.0}, images)
        batches = list(outbox.points(5))
        assert [len(batch) for batch, _ in batches] == [4, 4, 4, 2]
        outbox.points_sent(batches[1][1])
        assert [point.images for batch, _ in outbox.points(5) for point in batch] == [4, 4, 5, 5, 6, 6]


def test_keeping_is_cheap(tmp_path: Path) -> None:
    values = {f"phase/value_{number}": float(number) for number in range(20)}
    with closing(Outbox(tmp_path / "outbox")) as outbox:
        began = time.perf_counter()
        for images in range(1000):
            outbox.add_points(values, images)
        print(f"{(time.perf_counter() - began) * 1e3:.0f} µs for 20 values")
