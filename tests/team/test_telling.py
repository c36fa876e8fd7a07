"""An event on a real Prefect server reaches people both ways: by automation and block, and by the teller's mail."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.receivers import PASSWORD, Mailbox, Webhook, free_port, mail_to
from tests.team.running import service

pytestmark = [pytest.mark.team, pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]

SECRET = "kintsugi:prefect's password"

Call = Callable[..., "subprocess.CompletedProcess[str]"]

MAKE_BLOCK = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock
said = {"title": "{{subject}}", "message": "{{body}}", "key": "{{key}}"}
block = CustomWebhookNotificationBlock(name="team", url=sys.argv[1], json_data=said, secrets={"key": "4711-secret"})
block.save("team")
"""
TELL = """
import sys
from components.events.known import Promoted
from flows.telling import tell
tell(Promoted(model="photos-gan", version=7, champion=5, by=sys.argv[1], reasons=("asked of http://ada:hunter22@db/",)))
"""


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    """Run a program as a client of a Prefect server with a password."""
    place, port = tmp_path_factory.mktemp("prefect-telling"), free_port()
    served = {
        "PREFECT_HOME": str(place),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{place / 'prefect.db'}",
        "PREFECT_SERVER_API_AUTH_STRING": SECRET,
        "PREFECT_API_AUTH_STRING": SECRET,
        "PREFECT_UI_ENABLED": "false",
        "PREFECT_API_URL": "",
    }
    client = {
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_API_AUTH_STRING": SECRET,
        "KINTSUGI_HOME": str(place / "home"),
        "PREFECT_HOME": str(place / "client"),
    }

    def run(*command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | client | variables
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)

    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with service(command, served, f"http://127.0.0.1:{port}/api/health", place / "log"):
        yield run


def deploy(call: Call, root: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    kintsugi = [str(Path(sys.executable).with_name("kintsugi")), "deploy", str(root / "configs" / "quickstart.yaml")]
    return call(*kintsugi, "--nightly", "", "--weekly", "", "--watch", "", *words)


def wait(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_block_that_is_not_there_is_said_in_one_line(call: Call, root: Path) -> None:
    done = deploy(call, root, "--notify", "slack-webhook/nobody")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: --notify slack-webhook/nobody: the server has no such block; expected TYPE/NAME")


def test_an_event_reaches_people_by_block_and_by_mail_also_after_a_second_deployment(call: Call, root: Path) -> None:
    with Webhook.listening() as hook, Mailbox.on(free_port()) as box:
        made = call(sys.executable, "-c", MAKE_BLOCK, f"http://127.0.0.1:{hook.port}/team")
        assert made.returncode == 0, made.stderr
        for words in (("--notify", "custom-webhook/team"), ()):
            done = deploy(call, root, *words)
            assert done.returncode == 0, done.stderr

        told = call(sys.executable, "-c", TELL, "ada", KINTSUGI_NOTIFY=mail_to(box.port))
        assert told.returncode == 0, told.stderr
        title = "photos-gan: version 7 is in service, it was 5"
        wait(lambda: bool(hook.posts))
        assert [post["title"] for post in hook.posts] == [title]
        assert [mail["subject"] for mail in box.mails] == [title]
        assert hook.posts[0]["key"] == "4711-secret"
        for said in (hook.posts[0]["message"], box.words):
            assert "Decided by ada" in said
            assert "hunter22" not in said
        assert not any(secret in told.stdout + told.stderr for secret in (PASSWORD, "hunter22", SECRET))

        assert deploy(call, root, "--notify", "").returncode == 0
        call(sys.executable, "-c", TELL, "grace", KINTSUGI_NOTIFY=mail_to(box.port))
        assert len(box.mails) == 2
        time.sleep(5)
        assert len(hook.posts) == 1
