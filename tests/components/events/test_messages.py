"""Messages reach real receivers of mail and of HTTP; one that is away keeps nobody waiting and is said once."""

import base64
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from components.events.known import Promoted, SourceChanged
from components.events.messages import Messenger
from tests.receivers import PASSWORD, Mailbox, Webhook, free_port, mail_to

TOLD = Promoted(
    model="photos-gan",
    version=7,
    champion=5,
    reasons=("fid fell from 14 to 9", "seen at http://ada:hunter22@store/x"),
    link="http://prefect.example/runs/flow-run/1",
)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox.on(free_port()) as box:
        yield box


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook.listening() as hook:
        yield hook


@pytest.fixture
def messenger(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Messenger]:
    """Return a messenger to these addresses, as a process with that environment has it."""

    def to(*addresses: str) -> Messenger:
        monkeypatch.setenv("KINTSUGI_NOTIFY", " ".join(addresses))
        return Messenger.from_environment()

    return to


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what we logged; pytest also shows what apprise keeps to itself."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("components.")]


def test_mail_and_webhook_receive_what_happened_without_secrets(mailbox, webhook, messenger):
    telling = messenger(mail_to(mailbox.port), f"json://team:{PASSWORD}@127.0.0.1:{webhook.port}/hooks/4711")
    telling.tell(TOLD)
    telling.leave(30)

    (mail,) = mailbox.mails
    assert mail["to"].addresses[0].addr_spec == "ada@team.example"
    assert mail["subject"] == "photos-gan: version 7 is in service, it was 5"
    assert "fid fell from 14 to 9" in mailbox.words
    assert [login.login for login in mailbox.logins] == [b"team"]

    (post,) = webhook.posts
    assert post["path"] == "/hooks/4711"
    assert post["login"] == f"Basic {base64.b64encode(f'team:{PASSWORD}'.encode()).decode()}"
    assert (post["title"], post["type"]) == ("photos-gan: version 7 is in service, it was 5", "success")
    assert "See http://prefect.example/runs/flow-run/1" in post["message"]
    for said in (mailbox.words, post["message"]):
        assert "hunter22" not in said
        assert PASSWORD not in said


def test_receivers_that_are_away_keep_nobody_waiting_and_are_said_once_each(webhook, messenger, caplog):
    nobody = free_port()
    with caplog.at_level(logging.INFO):
        telling = messenger(
            mail_to(nobody), f"json://x:{PASSWORD}@127.0.0.1:{nobody}/", f"json://127.0.0.1:{webhook.port}/"
        )
        began = time.monotonic()
        for _ in range(3):
            telling.tell(TOLD)
        assert time.monotonic() - began < 0.1
        telling.leave(30)
    assert len(webhook.posts) == 3
    lines = said(caplog)
    assert [line.split(" (")[0] for line in sorted(lines)] == [f"receiver {n} of KINTSUGI_NOTIFY" for n in (1, 2)]
    assert PASSWORD not in "".join(lines)


def test_a_receiver_that_accepts_and_never_answers_holds_up_the_end_of_a_process_no_longer_than_said(messenger, caplog):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        telling = messenger(f"json://127.0.0.1:{silent.getsockname()[1]}/?rto=60")
        telling.tell(TOLD)
        began = time.monotonic()
        telling.leave(1.5)
        assert 1.0 < time.monotonic() - began < 3
    assert said(caplog) == ["receiver 1 of KINTSUGI_NOTIFY was not told of everything: it did not answer in time"]


def test_a_receiver_that_was_restarting_gets_its_message(messenger):
    port = free_port()
    telling = messenger(mail_to(port))
    telling.tell(TOLD)
    time.sleep(1.0)
    with Mailbox.on(port) as box:
        deadline = time.monotonic() + 30
        while not box.mails and time.monotonic() < deadline:
            time.sleep(0.1)
        telling.leave(5)
    assert len(box.mails) == 1


def test_a_refusal_is_said_in_the_receivers_words_without_the_password(webhook, messenger, caplog):
    telling = messenger(f"json://team:wrong-horse-battery@127.0.0.1:{webhook.port}/refused")
    telling.tell(TOLD)
    telling.leave(30)
    (line,) = said(caplog)
    assert line.startswith("receiver 1 of KINTSUGI_NOTIFY (JSON) was not told of everything: ")
    assert "401" in line
    assert "wrong-horse-battery" not in line


def test_an_address_that_apprise_cannot_read_is_said_without_it_and_the_others_are_told(webhook, messenger, caplog):
    telling = messenger("slak://TAAAAAAA/BBBBBBBB/CCCCCCCC", f"json://127.0.0.1:{webhook.port}/")
    telling.tell(TOLD)
    telling.leave(30)
    assert len(webhook.posts) == 1
    (line,) = said(caplog)
    assert "apprise cannot read address 1; expected one that begins with mailto://" in line
    assert "AAAAAAA" not in line


def test_nobody_hears_of_what_only_programs_act_on(webhook, messenger):
    telling = messenger(f"json://127.0.0.1:{webhook.port}/")
    telling.tell(SourceChanged(run="photos", source="the folder photos", since="2026-11-27T02:00:00+00:00"))
    telling.leave(30)
    assert webhook.posts == []


def test_without_the_variable_nobody_is_told(messenger):
    telling = messenger()
    telling.tell(TOLD)
    telling.leave(0)


PROGRAM = """
import atexit, logging
from components.events.known import ModelFailed
from components.events.messages import Messenger
logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
messenger = Messenger.from_environment()
atexit.register(messenger.leave)
messenger.tell(ModelFailed(model="photos-gan", error="it diverged"))
"""


def test_a_process_that_ends_at_once_delivers_first_and_its_log_holds_no_address(root, webhook):
    addresses = (f"json://team:{PASSWORD}@127.0.0.1:{webhook.port}/hooks/4711-secret", "slak://TAAAAAAA/BBBBBBBB")
    environment = os.environ | {"KINTSUGI_NOTIFY": " ".join(addresses)}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert [post["message"] for post in webhook.posts] == ["it diverged"]
    assert "apprise cannot read address 2" in done.stderr
    assert not any(secret in done.stderr for secret in (PASSWORD, "4711-secret", "AAAAAAA"))
