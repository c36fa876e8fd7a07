"""What the story of a week needs: people who are told, and the team as they see it from a desk or through a browser."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import httpx

from tests.receivers import Mailbox, Webhook
from tests.team.stack import Stack
from tests.team.unattended import Facts, Pile, Prefect, person

NIGHTLY, MODEL = "retrain/retrain-nightly", "story-vae"


@dataclass
class Told:
    """What reached people by each road, as titles."""

    hook: Webhook
    box: Mailbox

    @property
    def by_mail(self) -> list[str]:
        return [str(mail["subject"]) for mail in self.box.mails]

    @property
    def by_post(self) -> list[str]:
        return self._posted("/team")

    @property
    def by_block(self) -> list[str]:
        return self._posted("/block")

    def everywhere(self, title: str) -> bool:
        """Whether all three heard it."""
        return all(title in titles for titles in (self.by_mail, self.by_post, self.by_block))

    @property
    def words(self) -> str:
        """All that was said."""
        return self.box.words + "".join(f"{post['title']}\n{post['message']}\n" for post in self.hook.posts)

    def _posted(self, path: str) -> list[str]:
        return [post["title"] for post in self.hook.posts if post["path"] == path]


@dataclass
class Week:
    """The team, its pile of pictures, and what was seen of its nights."""

    team: Stack
    home: Path
    pile: Pile
    prefect: Prefect
    told: Told

    def night(self, *overrides: str, reason: str = "schedule", ends: str = "Completed") -> Facts:
        """Start the nightly deployment as Prefect's page does, and return the run once it has ended."""
        run = self.prefect.start(NIGHTLY, reason=reason, overrides=overrides)
        final = {"Completed", "Failed", "Crashed", ends}
        self.prefect.wait(lambda: self.prefect.run(run)["state"]["name"] in final, 900)
        assert self.prefect.run(run)["state"]["name"] == ends, self.prefect.run(run)["state"]["message"]
        return self.prefect.run(run)

    def call(self, *words: str) -> str:
        """Call `kintsugi` as a person does, and return what it printed."""
        done = person(self.team, self.home, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def version(self, number: int) -> Facts:
        """Return a version as MLflow keeps it, with its tags by name."""
        path = f"model-versions/get?{urlencode({'name': MODEL, 'version': number})}"
        found = self._mlflow(path)["model_version"]
        return {**found, "tags": {tag["key"]: tag["value"] for tag in found.get("tags", ())}}

    def run_of(self, flow_run: Facts) -> dict[str, str]:
        """Return the tags of the run that a night left in MLflow."""
        experiment = self._mlflow("experiments/get-by-name?experiment_name=story")["experiment"]["experiment_id"]
        wanted = {"experiment_ids": [experiment], "filter": f"tags.`kintsugi.flow_run` = '{flow_run['id']}'"}
        (found,) = self._mlflow("runs/search", wanted)["runs"]
        return {tag["key"]: tag["value"] for tag in found["data"]["tags"]}

    def artifacts(self, flow_run: Facts) -> str:
        """Return what Prefect's page of artifacts shows of a run, as text."""
        wanted = {"artifacts": {"flow_run_id": {"any_": [flow_run["id"]]}}, "limit": 50}
        return "\n".join(str(one["data"]) for one in self.prefect.ask("/artifacts/filter", wanted))

    def served(self, path: str) -> str:
        """Return a page of `kintsugi serve`."""
        user, _, password = self.team.settings["SERVE_AUTH"].partition(":")
        answer = httpx.get(self.team.settings.url("serve") + path, auth=(user, password), timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.text

    def _mlflow(self, path: str, body: object = None) -> Facts:
        login = f"worker:{self.team.settings['MLFLOW_WORKER_PASSWORD']}"
        return dict(self.team.read(f"{self.team.settings.url('mlflow')}/api/2.0/mlflow/{path}", login, body))
