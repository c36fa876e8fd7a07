"""What a new person does: one run, then everything that a finished run allows, all by the real command."""

import json
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.smoke, pytest.mark.timeout(1000)]

HEIGHT, WIDTH = 157, 211
STAGES = ("train", "evaluate", "promote")


def imread(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_the_first_run_ends_with_the_address_of_its_page(smoke):
    assert smoke.said.returncode == 0, smoke.said.stderr
    label, address = smoke.said.stdout.splitlines()[-1].split()[:2]
    assert label == "Page:"
    page = unquote(urlsplit(address).path)
    assert page.startswith(str(smoke.home / "pages"))
    text = (smoke.home / "pages" / page.rsplit("/", 1)[1]).read_text()
    assert all(name in text for name in ("inpainter", "vae", "gan", "psnr"))
    assert (smoke.home / "pages" / "index.html").is_file()


def test_the_first_run_says_how_far_it_is(smoke):
    for stage in ("shard: 400 of 400", "train gan: 3,200 of 3,200", "evaluate inpainter: 1 of 1"):
        assert stage in smoke.said.stderr
    assert "Traceback" not in smoke.said.stderr
    assert not [line for line in smoke.said.stderr.splitlines() if "WARNING" in line or "ERROR" in line]


def test_a_second_run_trains_nothing_and_is_quick(smoke, call, served):
    logs = set((smoke.home / "logs").rglob("agent.log"))
    again = call("run", smoke.config, home=smoke.home, **served)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1].split()[:2] == smoke.said.stdout.splitlines()[-1].split()[:2]
    assert set((smoke.home / "logs").rglob("agent.log")) == logs
    assert "train vae: 3,200 of 3,200  reused" in again.stderr


def test_check_says_that_all_would_be_reused(smoke, call):
    steps = json.loads(call("check", smoke.config, "--json", home=smoke.home).stdout)
    assert {step["stage"]: step["state"] for step in steps} == {
        "shard": "reuse",
        "yardstick": "reuse",
        "corrupt": "reuse",
        **{f"{stage} {name}": "reuse" for stage in STAGES for name in ("inpainter", "vae", "gan")},
        "publish": "reuse",
    }
    assert all(set(step) == {"stage", "state", "facts"} for step in steps)


def test_check_does_without_a_registry_that_is_away_and_says_so(smoke, call):
    steps = json.loads(
        call("check", smoke.config, "--json", home=smoke.home, MLFLOW_TRACKING_URI="http://127.0.0.1:9").stdout
    )
    found = {step["stage"]: step["state"] for step in steps}
    assert {state for stage, state in found.items() if stage.startswith(("promote", "publish"))} == {"unknown"}
    assert {state for stage, state in found.items() if not stage.startswith(("promote", "publish"))} == {"reuse"}


def test_check_says_what_a_changed_rule_would_decide_anew_and_a_changed_length_train_anew(smoke, call):
    def to_do(change: str) -> set[str]:
        steps = json.loads(call("check", smoke.config, "--set", change, "--json", home=smoke.home).stdout)
        return {step["stage"] for step in steps if step["state"] == "run"}

    assert to_do("models.vae.training.images=6_400") == {"train vae", "evaluate vae", "promote vae", "publish"}
    assert to_do("models.vae.evaluation.samples=32") == {"evaluate vae", "promote vae", "publish"}


def test_models_lists_champions_with_scores_and_lineage(smoke, call):
    records = {record["name"]: record for record in json.loads(call("models", "--json", home=smoke.home).stdout)}
    assert {"smoke-inpainter", "smoke-vae", "smoke-gan"} <= set(records)
    for record in records.values():
        assert set(record) == {
            "name",
            "family",
            "champion",
            "champion_since",
            "challenger",
            "previous",
            "scores",
            "lineage",
            "card",
        }
        assert {"source", "shards", "checkpoint", "export", "config", "code", "scores"} <= set(record["lineage"])
    inpainter = records["smoke-inpainter"]
    assert (inpainter["family"], inpainter["champion"], inpainter["previous"]) == ("inpainter", 1, None)
    assert inpainter["scores"]["psnr_hole"] > 10


def test_models_prints_a_table_for_people(smoke, call):
    heads, *rows = call("models", home=smoke.home).stdout.splitlines()
    assert heads.split() == ["name", "family", "champion", "challenger", "previous", "scores"]
    assert ["smoke-inpainter", "inpainter", "1", "-", "-", "psnr_hole"] in [row.split()[:6] for row in rows]


def test_repair_mends_a_photo_of_odd_size_and_keeps_known_pixels(smoke, call, tmp_path):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    hole = np.zeros((HEIGHT, WIDTH), bool)
    hole[40:70, 100:150] = True
    Image.fromarray(picture).save(tmp_path / "photo.png")
    Image.fromarray(hole.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    said = call(
        "repair",
        tmp_path / "photo.png",
        "--mask",
        tmp_path / "mask.png",
        "-o",
        tmp_path / "out.png",
        "--model",
        "smoke-inpainter",
        home=smoke.home,
    )
    assert said.returncode == 0, said.stderr
    mended = imread(tmp_path / "out.png")
    assert mended.shape == picture.shape
    np.testing.assert_array_equal(mended[~hole], picture[~hole])
    assert (mended[hole] != picture[hole]).any()


def test_generate_makes_single_files_or_a_sheet_of_the_same_pictures_for_the_same_seed(smoke, call, tmp_path):
    version = ("--model", "smoke-vae", "--version", "1")
    sheet = call("generate", *version, "-n", "3", "--seed", "7", "-o", tmp_path / "sheet.png", home=smoke.home)
    folder = call("generate", *version, "-n", "3", "--seed", "7", "-o", tmp_path / "single", home=smoke.home)
    assert [said.returncode for said in (sheet, folder)] == [0, 0], sheet.stderr + folder.stderr
    files = sorted((tmp_path / "single").iterdir())
    assert [file.name for file in files] == ["7-00000.png", "7-00001.png", "7-00002.png"]
    singles = [imread(file) for file in files]
    assert {picture.shape for picture in singles} == {(16, 16, 3)}
    drawn = imread(tmp_path / "sheet.png")
    windows = np.lib.stride_tricks.sliding_window_view(drawn, (16, 16, 3)).reshape(-1, 16, 16, 3)
    assert all((windows == picture).all(axis=(1, 2, 3)).any() for picture in singles)


def test_verify_finds_all_whole_and_names_what_was_altered(smoke, call, tmp_path):
    whole = call("verify", "--json", home=smoke.home)
    assert whole.returncode == 0, whole.stdout
    assert {"smoke-gan": [], "smoke-inpainter": [], "smoke-vae": []}.items() <= json.loads(whole.stdout).items()
    (tar,) = (smoke.home / "store" / "shardset").glob("*/validation-000000.tar")
    kept = tar.read_bytes()
    try:
        tar.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        altered = call("verify", "smoke-vae", home=smoke.home)
    finally:
        tar.write_bytes(kept)
    assert altered.returncode == 1
    assert "validation-000000.tar: its sha256 is not the one in the manifest" in altered.stdout


@pytest.fixture(scope="module")
def again(smoke, call, served):
    """The same run under another name: nothing is trained or measured, artifacts are found by what determined them."""
    before = set((smoke.home / "logs").rglob("agent.log"))
    said = call("report", smoke.config, "--set", "name=again", home=smoke.home, **served)
    assert said.returncode == 0, said.stderr
    assert set((smoke.home / "logs").rglob("agent.log")) == before


def test_compare_sets_two_runs_side_by_side(smoke, again, call):
    said = call("compare", "smoke", "again", home=smoke.home)
    assert said.returncode == 0, said.stderr
    path = smoke.home / "pages" / "compare-smoke-again.html"
    assert said.stdout.strip() == path.as_uri()
    assert all(word in path.read_text() for word in ("smoke", "again", "psnr"))


def test_a_short_name_that_fits_two_models_is_refused_with_both(smoke, again, call, tmp_path):
    said = call("generate", "--model", "vae", "-o", tmp_path / "out.png", home=smoke.home)
    assert said.returncode == 2
    assert "again-vae, smoke-vae" in said.stderr
    assert not list(tmp_path.iterdir())


def test_evaluate_prints_the_model_beside_its_baselines(smoke, call, served):
    said = call("evaluate", smoke.config, home=smoke.home, **served)
    assert said.returncode == 0, said.stderr
    rows = [line.split()[0] for line in said.stdout.splitlines()]
    assert rows[:4] == ["inpainter", "model", "mean_fill", "telea"]


def test_a_folder_of_ones_own_photos_needs_one_override_and_every_file_is_counted(smoke, call, served, tmp_path):
    photos, rng = tmp_path / "photos", np.random.default_rng(1)
    (photos / "more").mkdir(parents=True)
    for number in range(300):
        coarse = rng.integers(0, 256, (5, 7, 3), np.uint8)
        photo = Image.fromarray(coarse).resize((40 + number % 23, 30 + number % 31))
        photo.save(photos / ("more" if number % 2 else ".") / f"{number}.{'jpg' if number % 3 else 'png'}")
    (photos / "broken.jpg").write_bytes((photos / "more" / "1.jpg").read_bytes()[:200])
    (photos / "twice.png").write_bytes((photos / "0.png").read_bytes())
    source = f"dataset.source={{kind: folder, path: {photos}}}"
    said = call("shard", smoke.config, "--set", source, home=tmp_path / "home", **served)
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[0] == "302 found = 300 accepted + 1 duplicates + 1 rejected"
    (rejected,) = (tmp_path / "home" / "store" / "shardset").glob("*/rejected.jsonl")
    assert [json.loads(line)["name"] for line in rejected.read_text().splitlines()] == ["broken.jpg"]


@pytest.mark.browser
def test_the_page_opens_whole_and_quietly_in_a_browser(smoke, browser):
    address = smoke.said.stdout.splitlines()[-1].split()[1]
    tab = browser.new_page()
    complaints = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("requestfailed", lambda failed: complaints.append(failed.url[:200]))
    tab.goto(address)
    tab.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    seen = tab.evaluate("[...document.images].map(image => image.naturalWidth > 0)")
    tab.close()
    assert len(seen) >= 6
    assert all(seen)
    assert complaints == []
