"""A week of nights that end in each way there is, on the team's own servers: what people hear, and where they read why.

The tests stand on each other, in this order. Two roads lead to people: the worker's own mails and posts, and the
server's automation with a block, which also passes on what a person decides at another desk.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from PIL import Image, ImageOps

from tests.receivers import PASSWORD, Mailbox, Webhook, free_port, mail_to
from tests.team.stack import Stack
from tests.team.unattended import Facts, Pile, Prefect, write_config
from tests.team.week import MODEL, Told, Week

pytestmark = [pytest.mark.team, pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(1_200)]

HOOK_PASSWORD, BLOCK_KEY = "hook-password-4711", "block-key-0815"
MAKE_BLOCK = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock
said = {"title": "{{subject}}", "message": "{{body}}", "key": "{{key}}"}
block = CustomWebhookNotificationBlock(name="team", url=sys.argv[1], json_data=said, secrets={"key": sys.argv[2]})
block.save("team")
"""
LONGER = "models.vae.training.images=6_400"
HARDLY = ("models.vae.training={images: 128, batch: 128}", "models.vae.recipe.optimizer={kind: adam, rate: 1e-6}")
DRAWN, SEED = 200, 17
"""Pictures that an evaluation draws, and the seed that it draws them from."""


@pytest.fixture(scope="module")
def told(servers: Stack) -> Iterator[Told]:
    """A mailbox and a webhook; the worker tells both, as the settings file asks."""
    with Webhook.listening() as hook, Mailbox.on(free_port()) as box:
        file, post = servers.settings.file, f"json://team:{HOOK_PASSWORD}@127.0.0.1:{hook.port}/team"
        before = file.read_text()
        file.write_text(re.sub("^NOTIFY=.*$", f"NOTIFY={mail_to(box.port)} {post}", before, flags=re.MULTILINE))
        if servers.command("status").returncode:
            servers.up()
        else:
            servers.restart("worker")
        yield Told(hook, box)
        file.write_text(before)
        servers.restart("worker")


@pytest.fixture(scope="module")
def week(servers: Stack, told: Told, tmp_path_factory: pytest.TempPathFactory) -> Week:
    """A deployment of a small model on a pile of pictures, of which people are told by a block, too."""
    folder = tmp_path_factory.mktemp("story")
    pile = Pile(folder / "pile")
    pile.folder.mkdir()
    pile.grow_to(150)
    config = write_config(folder / "story.yaml", pile, images=1_600, name="story")
    content = yaml.safe_load(config.read_text())
    content["models"]["vae"]["evaluation"]["samples"] = DRAWN
    content["seed"] = SEED
    config.write_text(yaml.safe_dump(content | {"retraining": {"start": "champion", "skip_below": 0.05}}))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "KINTSUGI_"))}
    made = subprocess.run(
        [sys.executable, "-c", MAKE_BLOCK, f"http://127.0.0.1:{told.hook.port}/block", BLOCK_KEY],
        env={**kept, **servers.client(), "KINTSUGI_HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    week = Week(servers, folder / "home", pile, Prefect.of(servers), told)
    unscheduled = ("--nightly", "", "--weekly", "", "--watch", "")
    week.call("deploy", str(config), *unscheduled, "--notify", "custom-webhook/team")
    return week


def test_the_first_version_is_the_champion_and_everybody_hears_of_it(week: Week) -> None:
    run = week.night()
    assert run["name"] == "story · data 1 · schedule"
    title = f"{MODEL}: version 1 is in service, the first"
    week.prefect.wait(lambda: week.told.everywhere(title), 60)
    assert "there is no champion yet" in week.artifacts(run)
    assert week.run_of(run)["kintsugi.verdict.vae"] == "promote"


def test_a_night_without_change_is_skipped_on_the_worker_and_says_so_wherever_people_look(week: Week) -> None:
    run = week.night(ends="Skipped")
    assert (run["state"]["type"], run["run_count"]) == ("COMPLETED", 1)
    why = run["state"]["message"]
    assert why.startswith("0 images new and 0 gone, 0.00% of all since story · data 1 · schedule of ")
    assert week.artifacts(run) == f"## story: skipped\n- {why}"
    tags = week.run_of(run)
    assert tags["kintsugi.skipped"] == why
    assert why in tags["mlflow.note.content"]
    assert "kintsugi.verdict.vae" not in tags  # the run of the night before is another
    week.prefect.wait(lambda: week.told.everywhere("story · data 1 · schedule: skipped"), 60)
    week.prefect.wait(lambda: "Skipped nights" in week.served("/runs"), 60)
    assert why in week.served("/runs")


def test_a_better_challenger_that_began_with_the_champions_weights_takes_its_place(week: Week) -> None:
    week.pile.grow_to(180)
    run = week.night(LONGER)
    lineage = week.version(2)["tags"]
    assert lineage["lineage.start_version"] == "1"
    assert lineage["fact.began with"] == f"the weights of {MODEL} version 1, which had seen 1,600 images"
    title = f"{MODEL}: version 2 is in service, it was 1"
    week.prefect.wait(lambda: week.told.everywhere(title), 60)
    assert "is better: the improvement is" in week.artifacts(run)
    assert "**promote**" in week.version(2)["description"]


def test_a_model_whose_pictures_are_among_its_training_images_is_refused(week: Week) -> None:
    own = week.pile.folder / "own"  # somebody has put the champion's pictures on the pile, from which the next learns
    week.call("generate", "--model", MODEL, "-n", str(DRAWN), "--seed", str(SEED), "-o", str(own))
    run = week.night(*HARDLY, reason="pictures of its own")
    shutil.rmtree(own)
    refused(week, run, 3, "copies of training images: ")


def test_a_model_judged_on_images_that_it_learnt_from_is_refused(week: Week) -> None:
    for path in sorted(week.pile.folder.glob("*.png")):
        with Image.open(path) as picture:
            ImageOps.mirror(picture).save(week.pile.folder / f"mirrored-{path.name}")
    run = week.night(LONGER, reason="mirrored pictures")
    for path in week.pile.folder.glob("mirrored-*.png"):
        path.unlink()
    refused(week, run, 4, "held-out images that are training images: ")


def refused(week: Week, run: Facts, number: int, words: str) -> None:
    """See that a version was refused for a reason that begins so, told and readable everywhere."""
    title = f"{MODEL}: version {number} is refused, version 2 stays in service"
    week.prefect.wait(lambda: week.told.everywhere(title), 60)
    version = week.version(number)
    assert "**reject**" in version["description"]
    (reason,) = [one for one in json.loads(version["tags"]["gate.reasons"]) if one.startswith(words)]
    assert reason in version["description"]
    assert reason in week.artifacts(run)
    assert reason in week.told.words
    assert reason in week.call("history", MODEL)
    assert week.run_of(run)["kintsugi.verdict.vae"] == "reject"
    assert champion(week) == 2


def test_a_version_that_waits_for_a_person_enters_service_by_name(week: Week) -> None:
    run = week.night("models.vae.training.images=12_800", "models.vae.promotion.approval=required", reason="by hand")
    week.prefect.wait(lambda: week.told.everywhere(f"{MODEL}: version 5 waits for a person"), 60)
    answer = f"kintsugi approve {MODEL} 5 --by WHO --reason WHY"
    assert answer in week.artifacts(run)
    assert answer in week.told.words
    assert champion(week) == 2
    said = week.call("approve", MODEL, "5", "--by", "ada", "--reason", "looked at all of them")
    assert said.startswith(f"{MODEL}: version 5 is in service, it was 2; approved by ada: looked at all of them")
    assert champion(week) == 5
    title = f"{MODEL}: version 5 is in service, it was 2"
    week.prefect.wait(lambda: title in week.told.by_block, 60)
    assert "Decided by ada" in week.told.words


def test_a_night_whose_budget_is_spent_ends_so_on_the_worker_and_is_no_failure(week: Week) -> None:
    budget = ("models.vae.training.images=640_000", "retraining.hours=0.002")
    run = week.night(*budget, reason="by hand", ends="BudgetSpent")
    assert (run["state"]["type"], run["run_count"]) == ("COMPLETED", 1)
    assert re.search(r"retraining\.hours, 0\.002, spent .* of 640,000", run["state"]["message"])
    assert not {"Failed", "Crashed"} & set(week.prefect.states(run["id"]))
    assert champion(week) == 5


def champion(week: Week) -> int:
    models = json.loads(week.call("models", "--json"))
    return next(int(model["champion"]) for model in models if model["name"] == MODEL)


def test_history_tells_the_week_in_order(week: Week) -> None:
    sentences = [line.split("  ", 1)[1] for line in week.call("history", MODEL).splitlines()]
    begins = [
        "the gate promoted version 1, which replaces no champion.",
        "the gate promoted version 2, which replaces version 1.",
        "the gate rejected version 3; version 2 stays in service.",
        "the gate rejected version 4; version 2 stays in service.",
        "ada approved version 5, which the gate had held; it replaces version 2. Why: looked at all of them.",
    ]
    assert len(sentences) == len(begins)
    for sentence, beginning in zip(sentences, begins, strict=True):
        assert sentence.startswith(beginning)


def test_pages_in_a_browser_say_what_became_of_each_version_and_why(week: Week, browser, tmp_path: Path) -> None:
    user, _, password = week.team.settings["SERVE_AUTH"].partition(":")
    context = browser.new_context(http_credentials={"username": user, "password": password})
    tab, address = context.new_page(), week.team.settings.url("serve")
    tab.goto(f"{address}/runs")
    tab.screenshot(path=tmp_path / "runs.png", full_page=True)
    assert "0 images new and 0 gone" in tab.locator("#skipped").inner_text()
    pages = tab.locator("#runs tbody a")
    verdicts = tab.locator("#runs tbody tr").all_inner_texts()
    assert [next(word for word in ("Held", "Promoted", "Rejected") if word in row) for row in verdicts] == [
        "Held",  # as it was when the page was made; the leaderboard says who approved
        "Rejected",
        "Rejected",
        "Promoted",
        "Promoted",
    ]
    for place, words in ((1, "held-out images that are training images"), (2, "copies of training images")):
        pages.nth(place).click()
        tab.wait_for_url("**/pages/**")
        assert words in tab.locator("body").inner_text()
        tab.screenshot(path=tmp_path / f"page-{place}.png", full_page=True)
        tab.go_back()
    tab.goto(f"{address}/leaderboard")
    board = tab.locator("table.versions")
    board.locator("tbody tr").first.wait_for()
    tab.screenshot(path=tmp_path / "leaderboard.png", full_page=True)
    assert "in service" in board.locator("tbody tr").first.inner_text()
    for words in ("held-out images that are training images", "copies of training images", "approved by ada"):
        assert words in board.inner_text()
    context.close()


def test_no_secret_is_in_any_message_or_in_what_the_week_left(week: Week) -> None:
    secrets = {*week.team.secrets(), PASSWORD, HOOK_PASSWORD}
    assert not [secret for secret in (*secrets, BLOCK_KEY) if secret in week.told.words]
    found = {place for place, content in week.team.traces() for secret in secrets if secret.encode() in content}
    assert found == set()
    assert {post["key"] for post in week.told.hook.posts if post["path"] == "/block"} == {BLOCK_KEY}
