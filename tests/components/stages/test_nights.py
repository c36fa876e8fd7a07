"""Two nights on a growing folder: judged on the same pinned images, compared without a gap, rescored, renewed."""

import re
from dataclasses import dataclass, replace

import pytest
from mlflow import MlflowClient

from components.artifacts import ArtifactError, Store
from components.config import RunConfig, load
from components.data import ShapesSource, ShardReader
from components.evaluation import yardstick
from components.report.comparison import RunColumn, write_comparison
from components.report.content import PageContent
from components.stages import pinned
from components.stages.candidate import Candidate, Data, Promotion
from components.stages.decided import decided_before
from components.stages.evaluate import evaluate
from components.stages.foresee import Foreseen
from components.stages.prepare import prepare, shard
from components.stages.promote import promote
from components.stages.publish import publish
from components.stages.rescore import rescore
from components.stages.site import Site
from components.stages.train import train
from components.tracking import decisions, registry, runs
from components.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FIRST, SECOND = 260, 420


@dataclass(frozen=True)
class Night:
    """What one night left."""

    run: RunConfig
    site: Site
    data: Data
    candidates: dict[str, Candidate]
    content: PageContent
    launched: set[str]
    """Stages that started processes."""

    def promotion(self, name: str) -> Promotion:
        return self.candidates[name].promotion


@pytest.fixture(scope="module")
def pictures():
    """More pictures than any night has."""
    return [item.content for item in ShapesSource(images=SECOND, raster_px=16).items()]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return tmp_path_factory.mktemp("nights")


@pytest.fixture(scope="module")
def night(pictures, workshop, root):
    """Live through one night with so many pictures in the folder."""

    def live(count: int) -> Night:
        pile = workshop / "pile"
        pile.mkdir(exist_ok=True)
        for number, content in enumerate(pictures[:count]):
            (pile / f"{number:03}.png").write_bytes(content)
        source = f"dataset.source={{kind: folder, path: {pile}}}"
        short = "models.inpainter.training.images=64"
        run = load(root / "tests" / "flows" / "mini.yaml", [source, short])
        run = run.model_copy(update={"models": {"inpainter": run.models["inpainter"]}})
        workspace = Workspace(workshop)
        workspace.create()
        uri = runs.configure(workshop)
        parent = runs.open_run(run.name, run.name, f"night of {count}")
        site = Site(workspace, Store(workspace.store), uri, run.name, lambda *facts: None, parent)
        before = set(workspace.logs.glob("*/*"))
        data = prepare(run, shard(run, site), site)
        candidates = {}
        for name, model in run.models.items():
            candidate = Candidate(name, model)
            for stage in (train, evaluate, promote):
                candidate = stage(candidate, data, site)
            candidates[name] = candidate
        page = publish(run, "kintsugi run", data, list(candidates.values()), site)
        content = PageContent.model_validate_json((page.path / "page.json").read_text())
        launched = {path.parent.name for path in set(workspace.logs.glob("*/*")) - before}
        return Night(run, site, data, candidates, content, launched)

    return live


@pytest.fixture(scope="module")
def first(night):
    return night(FIRST)


@pytest.fixture(scope="module")
def second(first, night):
    return night(SECOND)


def measured(subject):
    return {(score.name, score.protocol.digest) for score in subject.scores}


def test_the_first_night_pins_its_held_out_images_and_has_no_others(first):
    pin = first.data.yardstick.pinned
    assert (pin.number, pin.images) == (1, first.data.yardstick.shards.splits["test"].samples)
    assert first.data.fresh is None
    assert first.launched == {
        f"{stage}-{name}" for stage in ("train", "baselines", "evaluate") for name in first.run.models
    }
    assert all(card.fresh is None and card.ground.name == "evaluation set 1" for card in first.content.models)


def test_the_second_night_is_judged_on_the_first_ones_images_and_measured_on_its_own(first, second):
    assert second.data.yardstick == first.data.yardstick
    assert second.data.fresh.shards.splits["test"].samples > first.data.yardstick.shards.splits["test"].samples
    for name, card in ((card.name, card) for card in second.content.models):
        earlier = next(one for one in first.content.models if one.name == name)
        assert measured(card.subjects[0]) == measured(earlier.subjects[0])
        assert [subject.role for subject in card.fresh.subjects] == ["model", "champion"]
        assert not {p for _, p in measured(card.fresh.subjects[0])} & {p for _, p in measured(card.subjects[0])}
        assert measured(card.fresh.subjects[0]) == measured(card.fresh.subjects[1])


def test_no_image_that_judges_was_trained_on(second):
    trained_on = set(ShardReader(second.data.fresh.shards, "train").keys)
    assert trained_on.isdisjoint(ShardReader(second.data.yardstick.shards, "test").keys)


def test_champion_and_baselines_are_not_measured_again_on_the_pinned_set(second):
    stages = ("train-{}", "evaluate-{}", "evaluate-{}-fresh", "{}-champion-fresh")
    assert second.launched == {stage.format(name) for stage in stages for name in second.run.models}


def test_the_champion_was_judged_by_what_the_first_night_had_measured(first, second):
    for name in second.run.models:
        assert second.promotion(name).judged_against == 1
        assert second.promotion(name).champion_scores == first.candidates[name].evaluated.scores
        assert second.promotion(name).reasons[-1].startswith("judged on evaluation set 1: ")


def test_the_second_version_within_a_week_is_judged_as_the_second_attempt_and_says_so(first, second):
    assert second.promotion("inpainter").reasons[-2].startswith("attempt 2 within 7 days: ")
    assert "attempt" not in " ".join(first.promotion("inpainter").reasons)


def asked(night: Night, experiment: str) -> tuple[Candidate, Site]:
    """A night's measured inpainter, of a configuration that asks for approval, and a site with no version of it yet."""
    candidate = night.candidates["inpainter"]
    rule = candidate.config.promotion.model_copy(update={"approval": "required"})
    config = candidate.config.model_copy(update={"promotion": rule})
    return replace(candidate, config=config, promotion=None), replace(night.site, experiment=experiment)


def foreseen(candidate: Candidate, night: Night, site: Site) -> Promotion | None:
    known = decided_before(Foreseen(candidate), night.data, site.experiment, site.store)
    return known.candidate.promotion


def test_what_needs_approval_waits_and_is_in_service_once_a_person_has_approved_it(first):
    candidate, site = asked(first, "asked")
    waiting = promote(candidate, first.data, site).promotion
    assert (waiting.verdict, waiting.champion) == ("hold", None)
    assert waiting.reasons[0].startswith("a person's approval is awaited")
    assert waiting.reasons[1:] == first.promotion("inpainter").reasons
    assert foreseen(candidate, first, site) == waiting
    assert waiting.answers[0] == f"kintsugi approve asked-inpainter {waiting.version} --by WHO --reason WHY"
    assert first.promotion("inpainter").answers == ()
    decisions.approve("asked-inpainter", waiting.version, by="ada", reason="seen all pictures")
    served = promote(candidate, first.data, site).promotion
    assert (served.verdict, served.champion) == ("promote", waiting.version)
    assert served.reasons[0] == "approved by ada: seen all pictures"
    assert foreseen(candidate, first, site) == served


def test_what_a_person_rejected_stays_out_though_the_gate_would_promote_it(first):
    candidate, site = asked(first, "refused")
    waiting = promote(candidate, first.data, site).promotion
    decisions.reject("refused-inpainter", waiting.version, by="ada", reason="too smooth")
    unasked = replace(first.candidates["inpainter"], promotion=None)
    for again in (candidate, unasked):
        refused = promote(again, first.data, site).promotion
        assert (refused.verdict, refused.champion) == ("reject", None)
        assert refused.reasons == ("rejected by ada: too smooth",)
        assert foreseen(again, first, site) == refused


def test_the_comparison_of_the_two_nights_has_no_dash(first, second, tmp_path):
    page = write_comparison([RunColumn(content=one.content) for one in (first, second)], tmp_path / "c.html")
    text = page.read_text()
    assert text.count("Scores on evaluation set 1") == len(first.run.models)
    assert text.count("Scores on the data of") == len(first.run.models)
    assert "not measured under this protocol" not in text
    assert "not comparable" in text
    psnr = re.search(r'<th scope="row">psnr_<wbr>hole<span class="role">.*?</tr>', text, re.DOTALL).group()
    assert psnr.count('class="interval"') == 3  # both nights and mean_fill
    assert 'class="views"' in text  # the same damaged pictures, mended by both


def test_the_registry_names_what_each_version_was_judged_on(first, second):
    lineage = {record.name: record.lineage for record in registry.models()}["mini-inpainter"]
    assert lineage["evaluation_shards"] == first.data.yardstick.shards.digest
    assert lineage["corruption_set"] == first.data.yardstick.corruptions.digest
    version = MlflowClient().get_model_version("mini-inpainter", "2")
    assert version.tags["lineage.shards"] == second.data.fresh.shards.digest
    assert version.tags["lineage.evaluation_shards"] == first.data.yardstick.shards.digest


def test_mlflow_holds_both_sets_of_scores(second):
    run = MlflowClient().get_run(registry.run_of("mini-inpainter", 2))
    values = {name: run.data.metrics[f"{name}/psnr_hole"] for name in ("score", "score/today")}
    tables = {
        "score": second.candidates["inpainter"].evaluated.scores,
        "score/today": second.candidates["inpainter"].evaluated.fresh,
    }
    assert values == {name: scores.table.values()["psnr_hole"] for name, scores in tables.items()}
    contexts = {entry.dataset.name for entry in run.inputs.dataset_inputs}
    assert contexts == {"train", "test", "frozen", "fresh test", "fresh frozen"}


def test_a_night_without_new_pictures_starts_nothing(second, night):
    again = night(SECOND)
    assert again.launched == set()
    assert again.content == second.content


def test_the_model_in_service_is_rescored_on_todays_images_at_no_cost_if_the_night_measured_it(second, workshop):
    before = set((workshop / "logs").glob("*/*"))
    rescored = rescore(second.candidates["inpainter"], second.data, second.site)
    assert set((workshop / "logs").glob("*/*")) == before
    assert (rescored.model, rescored.version) == ("mini-inpainter", registry.champion("mini-inpainter"))
    assert rescored.then[1] <= rescored.then[0] <= rescored.then[2]
    assert rescored.verdict in {"moved", "held"}, rescored.reasons
    tracked = MlflowClient().get_run(registry.run_of(rescored.model, rescored.version))
    assert tracked.data.metrics["rescore/psnr_hole"] == pytest.approx(rescored.now[0])


def test_pages_say_what_is_odd_about_images_and_how_new_ones_compare_with_those_the_champion_learnt_from(first, second):
    assert first.content.quality.images == first.data.shards.accepted
    assert {one.name for one in first.content.quality.odd} >= {"near-copies", "blurred", "outliers"}
    assert first.content.drift == ()  # no champion was there to be judged against
    (drift,) = second.content.drift
    assert drift.models == ("mini-inpainter",)
    assert drift.known == first.data.shards.digest
    assert drift.new_images == second.data.shards.accepted - first.data.shards.accepted
    assert drift.verdict == "held"


def test_what_is_not_in_service_cannot_be_rescored(second):
    with pytest.raises(ValueError, match="mini-vae"):
        rescore(Candidate("vae", second.run.models["inpainter"]), second.data, second.site)


def test_a_renewed_set_judges_the_next_night_and_measures_the_champion_on_it(second, night, tmp_path):
    run, store = second.run, second.site.store
    yardstick.renew(store, run.name, run.dataset, second.data.fresh.shards, by="ann", reason="more pictures")
    third = night(SECOND)
    assert third.data.yardstick.pinned.number == 2
    assert third.data.fresh is None
    assert {
        stage for stage in third.launched if "champion" in stage or "evaluate" in stage
    } == set()  # measured as fresh
    text = write_comparison(
        [RunColumn(content=one.content) for one in (second, third)], tmp_path / "c.html"
    ).read_text()
    assert "Scores on evaluation set 2" in text
    assert "not measured under this protocol" not in text
    older = run.model_copy(update={"evaluation_set": yardstick.PinnedVersion(pinned=1)})
    assert prepare(older, second.data.fresh.shards, second.site) == second.data


def test_a_pin_whose_shards_are_gone_is_said(second, workshop):
    run, site = second.run, second.site
    known = pinned.in_force(run, second.data.fresh.shards, site.store)
    gone = known.model_copy(update={"shards": "0" * 20})
    with pytest.raises(ArtifactError, match=r"evaluation set 2 is made of the shards 0000.*--renew"):
        pinned.pinned_shards(gone, Store(workshop / "store"))
