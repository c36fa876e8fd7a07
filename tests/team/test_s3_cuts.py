"""Whatever byte of an object store's answer is the last that comes: it is asked again, and then says what is so."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from components.artifacts.storage import Storage, open_storage
from tests.team.faulty import Cut, FaultyProxy, Request, hurried

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(300)]
FACTS = bytes(range(200))
ASKED: dict[str, Callable[[Storage, int], object]] = {
    "read": lambda storage, _: storage.read_bytes("there") == FACTS,
    "read nothing": lambda storage, _: storage.read_bytes("empty") == b"",
    "part": lambda storage, _: storage.read_bytes("there", 10, 30) == FACTS[10:30],
    "list": lambda storage, _: [one.size for one in storage.entries("the")] == [len(FACTS)],
    "put": lambda storage, number: storage.put_if_absent(f"new/{number}", FACTS),
    "taken": lambda storage, _: not storage.put_if_absent("there", FACTS),
    "delete": lambda storage, number: storage.delete(f"new/{number}") is None,
}


@dataclass
class Cutting(FaultyProxy):
    """Ends one answer after so many bytes; none of those to HEAD, half of whose headers nobody can tell."""

    at: int | None = None
    whole: int = 0
    """Bytes of the answer that was cut last."""

    def _ask(self, request: Request) -> bytes:
        said = super()._ask(request)
        if self.at is None or request.method == b"HEAD":
            return said
        at, self.at, self.whole = self.at, None, len(said)
        raise Cut(said[:at])


@pytest.mark.parametrize("what", ASKED)
def test_an_answer_that_ends_after_any_of_its_bytes_is_no_answer(s3, seaweed, monkeypatch, what):
    proxy = Cutting(seaweed.port, share=0.0)
    proxy.start()
    for key, content in (("there", FACTS), ("empty", b"")):
        open_storage(s3).put_if_absent(key, content)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{proxy.port}")
    storage = open_storage(s3)
    assert storage.exists("there")
    proxy.whole = 2
    with hurried():
        for number in range(10_000):
            proxy.at = number
            if number >= proxy.whole:
                break
            assert ASKED[what](storage, number), f"after {number} of {proxy.whole} bytes"
            assert proxy.at is None
    assert number > 100
    proxy.close()
