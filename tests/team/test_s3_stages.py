"""An object store that is killed for half a minute in every stage of a night delays the night, and nothing more."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.team.faulty import FaultyProxy, Request
from tests.team.seaweed import Seaweed

pytestmark = [pytest.mark.team, pytest.mark.timeout(3000)]
AWAY_S = 30.0


@dataclass
class Killing(FaultyProxy):
    """Kills the store at a stage's first write to it, and starts it again after half a minute."""

    server: Seaweed | None = None
    moments: list[bytes] = field(default_factory=list)
    """Parts of keys, in the order in which they are waited for."""
    killed: list[bytes] = field(default_factory=list)

    def _ask(self, request: Request) -> bytes:
        with self._lock:
            if self.moments and request.method == b"PUT" and self.moments[0] in request.target:
                self.killed.append(self.moments.pop(0))
                assert self.server is not None
                self.server.kill()
                threading.Thread(target=self._bring_back, daemon=True).start()
                raise ConnectionResetError
        return super()._ask(request)

    def _bring_back(self) -> None:
        time.sleep(AWAY_S)
        assert self.server is not None
        self.server.start()


@pytest.fixture
def config(root: Path, tmp_path: Path) -> Path:
    content = yaml.safe_load((root / "tests" / "flows" / "mini.yaml").read_text())
    del content["models"]["inpainter"], content["corruption"]
    path = tmp_path / "night.yaml"
    path.write_text(yaml.safe_dump(content | {"name": "night"}))
    return path


def test_a_store_that_is_killed_in_every_stage_only_delays_the_night(s3, seaweed, config, tmp_path, monkeypatch):
    proxy = Killing(seaweed.port, share=0.0, server=seaweed)
    proxy.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{proxy.port}")

    def kintsugi(*words: str) -> str:
        environment = {**os.environ, "KINTSUGI_HOME": str(tmp_path / "home"), "KINTSUGI_STORE": s3}
        command = [str(Path(sys.executable).with_name("kintsugi")), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr + done.stdout

    proxy.moments = [b"/shardset/", b"/checkpoint/", b"/scores/", b"/page/"]
    began = time.monotonic()
    said = kintsugi("run", str(config))
    assert proxy.moments == []
    assert said.count("answers again, after") >= 4, said
    print(f"killed at the first write of {proxy.killed}: done after {time.monotonic() - began:.0f} s")

    # With another seed the champion is measured anew, in `promote`: after the challenger and the baselines.
    scored = {key.split("/")[1] for key in _keys(s3) if key.startswith("scores/")}
    monkeypatch.setattr(proxy, "moments", [])
    seen: set[bytes] = set()
    passed = proxy._ask

    def at_the_third(request: Request) -> bytes:
        if request.method == b"PUT" and b"/scores/" in request.target:
            digest = request.target.partition(b"/scores/")[2].partition(b"/")[0]
            if digest.decode() not in scored and digest not in seen:
                seen.add(digest)
                if len(seen) == 3:
                    proxy.moments = [b"/scores/"]
        return passed(request)

    monkeypatch.setattr(proxy, "_ask", at_the_third)
    said = kintsugi("run", str(config), "--set", "seed=4")
    assert len(seen) == 3
    assert proxy.moments == []
    assert "answers again, after" in said
    assert "whole" in kintsugi("verify", "--deep")
    proxy.close()


def _keys(place: str) -> list[str]:
    from components.artifacts.storage import open_storage

    return list(open_storage(place).list())
