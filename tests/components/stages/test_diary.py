"""A night is skipped where too little changed since the last finished one, or where the week has had enough of them."""

import shutil
from datetime import timedelta

import pytest

from components.artifacts import Store
from components.config import load
from components.data import ShapesSource, write_shards
from components.evaluation import yardstick
from components.stages import diary as diaries
from components.stages.diary import Diary, skipped_nights
from components.stages.prepare import prepare
from components.stages.site import Site
from components.workspace import Workspace

PICTURES = [item.content for item in ShapesSource(images=80, raster_px=16).items()]
DAY = timedelta(days=1)


class Week:
    """Nights of one model on a growing folder, on days that the test chooses."""

    def __init__(self, root, folder, monkeypatch):
        self.config, self.pile = root / "tests" / "flows" / "mini.yaml", folder / "pile"
        self.site = Site(Workspace(folder), Store(folder / "store"), "", "mini", lambda *facts: None)
        self.day = 0
        now = diaries.datetime.now(diaries.UTC)
        calendar = type("Calendar", (), {"now": lambda zone: now + self.day * DAY})
        monkeypatch.setattr(diaries, "datetime", calendar)

    def night(self, pictures, *policy):
        """Return the run and the diary at the night of so many pictures."""
        shutil.rmtree(self.pile, ignore_errors=True)
        self.pile.mkdir()
        for number, content in enumerate(PICTURES[:pictures]):
            (self.pile / f"{number:03}.png").write_bytes(content)
        source = f"dataset.source={{kind: folder, path: {self.pile}}}"
        judged = "dataset.split.test=0.4"  # of few pictures: enough to judge by
        run = load(self.config, [source, judged, "retraining.models=[vae]", *policy]).of_the_night
        run = run.model_copy(update={"corruption": None})
        shards = write_shards(run.dataset, self.site.store)
        return run, shards, Diary(run, shards, self.site.store, "mini")

    def live(self, pictures, *policy):
        """Live through a night to its end."""
        run, shards, diary = self.night(pictures, *policy)
        diary.begin()
        diary.finish(prepare(run, shards, self.site))
        return run, shards


@pytest.fixture
def week(root, tmp_path, monkeypatch):
    return Week(root, tmp_path, monkeypatch)


SKIPPING = "retraining.skip_below=0.1"


def test_the_first_night_is_never_skipped(week):
    assert week.night(60, SKIPPING)[2].why_skip() is None


def test_a_night_without_a_rule_is_never_skipped(week):
    week.live(60)
    assert week.night(60)[2].why_skip() is None


def test_unchanged_data_and_too_few_new_images_are_skipped_with_the_numbers(week):
    week.live(60, SKIPPING)
    assert week.night(60, SKIPPING)[2].why_skip().startswith("0 images new and 0 gone, 0.00% of all since mini of ")
    why = week.night(64, SKIPPING)[2].why_skip()
    assert why.startswith("4 images new and 0 gone, 6.25% of all since mini of ")
    assert why.endswith("less than retraining.skip_below, 10.00%; the configuration is the same")


def test_what_grows_a_little_every_night_is_compared_with_the_last_night_that_trained(week):
    week.live(60, SKIPPING)
    for images in (62, 64, 66):
        *_, diary = week.night(images, SKIPPING)
        diary.skip(diary.why_skip())
    assert week.night(70, SKIPPING)[2].why_skip() is None
    skips = skipped_nights(week.site.store, "mini")
    assert [one.why.partition(" ")[0] for one in skips] == ["2", "4", "6"]


def test_another_configuration_is_never_skipped_and_another_rule_is_no_other_configuration(week):
    week.live(60)
    assert week.night(60, SKIPPING)[2].why_skip() is not None
    assert week.night(60, SKIPPING, "models.vae.training.images=3200")[2].why_skip() is None
    assert week.night(60, SKIPPING, "retraining.start=champion")[2].why_skip() is None


def test_renewed_evaluation_images_make_a_night_worth_its_cost(week):
    week.live(60, SKIPPING)
    run, shards, diary = week.night(64, SKIPPING)
    assert diary.why_skip() is not None
    yardstick.renew(week.site.store, run.name, run.dataset, shards, by="ann", reason="to see")
    assert diary.why_skip() is None


def test_a_night_that_did_not_end_goes_on_and_is_not_what_the_next_is_compared_with(week):
    week.live(60, SKIPPING)
    week.night(75, SKIPPING)[2].begin()
    assert week.night(75, SKIPPING)[2].why_skip() is None


def test_shards_that_are_gone_say_nothing_about_change(week, caplog):
    week.live(60, SKIPPING)
    _, shards = week.live(70, SKIPPING)
    shards.path.rename(shards.path.with_name("gone"))
    assert week.night(72, SKIPPING)[2].why_skip() is None
    assert f"its shards {shards.digest} are gone" in caplog.text


def test_a_week_has_no_more_nights_than_it_may_and_the_next_may_begin_when_the_oldest_is_a_week_old(week):
    often = "retraining.nights_per_week=2"
    for images in (60, 62):
        assert week.night(images, often)[2].why_skip() is None
        week.live(images, often)
        week.day += 1
    why = week.night(64, often)[2].why_skip()
    assert why.startswith(
        "2 nights were begun within 7 days, retraining.nights_per_week allows 2; the next one may begin"
    )
    assert week.night(62, often)[2].why_skip() is None  # was begun, and is none more
    week.day += 5
    assert week.night(64, often)[2].why_skip() is None


def test_begun_and_finished_nights_are_written_down_once(week):
    for _ in range(3):
        week.live(60)
    assert len(week.site.store.records("diary/mini").all()) == 2
