"""A configuration that cannot work is refused before anything runs, by path, in the words of the file."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.config import ConfigError, RunConfig, load
from components.training.config import TrainingConfig

QUICKSTART = Path(__file__).parents[3] / "configs" / "quickstart.yaml"


def small() -> dict[str, Any]:
    """Return the shortest useful configuration, as a file would hold it."""
    return {
        "name": "small",
        "dataset": {"source": {"kind": "shapes"}, "size": 16},
        "models": {
            "gan": {
                "recipe": {"kind": "gan"},
                "training": {"images": 640},
                "evaluation": {"kind": "generation"},
                "promotion": {"metric": "fd_efficientnet_lite0"},
            }
        },
    }


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(small()))
    return path


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        load(path, overrides)
    return str(error.value)


@pytest.mark.parametrize("path", sorted(QUICKSTART.parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_loads(path):
    assert load(path).models


def test_the_quickstart_is_shipped_and_has_the_three_families():
    assert {model.recipe.kind for model in load(QUICKSTART).models.values()} == {"gan", "vae", "inpainter"}


MISTAKES = {
    "seeed=3": "seeed: unknown key; did you mean 'seed'? Allowed here: corruption, dataset, evaluation_set, "
    "executor, models, models_at_once, name, retraining, seed, store",
    "dataset.siize=3": "dataset.siize: unknown key; did you mean 'size'? Allowed here: encoding, fit, ",
    "models.gan.training.imags=3": "models.gan.training.imags: unknown key; did you mean 'images'? Allowed here: accum",
    "models.gan.training.ema.half=3": "models.gan.training.ema.half: unknown key. Allowed here: beside, half_life",
    "models.gan.recipe.generator.widht=3": "models.gan.recipe.generator.widht: unknown key; did you mean 'width'?",
    "models.gan.recipe.loss={kind: hinge, r3: 3}": "models.gan.recipe.loss.r3: unknown key. Allowed",
    "models.gan.recipe.kind=gon": "models.gan.recipe.kind: unknown kind 'gon'; did you mean 'gan'? Allowed: gan, vae",
    "dataset.source.kind=cloud": "dataset.source.kind: unknown kind 'cloud'. Allowed: openmoji, folder, zip",
    "models.gan.recipe.loss={r1: 1}": "models.gan.recipe.loss.kind: required, but missing. Allowed: minimax, non_satur",
    "models.vae.recipe.kind=vae": "models.vae.training: required, but missing",
    "models.gan.training.images=many": "models.gan.training.images: Input should be a valid integer, unable to pars",
    "models.gan.training.images=-1": "models.gan.training.images: Input should be greater than 0, found -1",
    "models.gan.training.precision=fp8": "models.gan.training.precision: Input should be 'fp32' or 'bf16', found 'fp8'",
    "retraining.models=[cat]": "retraining.models: there is no model 'cat'; there are: gan",
    "retraining.frozen_layers=2": "retraining: frozen_layers is 2, but start is scratch: layers drawn at random must",
    "retraining.skip_below=5": "retraining.skip_below: Input should be less than or equal to 1, found 5",
    "retraining.start=yesterday": "retraining.start: Input should be 'scratch' or 'champion', found 'yesterday'",
    "name=My Run": "name: String should match pattern",
    "models=null": "models: Input should be a valid dictionary, found None",
    "models={Gan-1: {}}": "models.Gan-1.recipe: required, but missing",
    "models.gan.training.batch=65": "",  # allowed: one process
    "models.gan.recipe.discriminator.normalisation=batch": "",  # allowed: no penalty
}


@pytest.mark.parametrize("override", MISTAKES)
def test_a_mistake_is_named_by_its_path_with_what_is_allowed(override, file):
    if MISTAKES[override]:
        assert f"{file}: {MISTAKES[override]}" in refusal(file, override)
    else:
        assert load(file, [override])


STREAMED = ("streaming_cache=1GiB",)
CLASHES = {
    STREAMED: "streaming_cache: models.gan.training.window is missing; without it each batch needs tars from all over",
    (*STREAMED, "models.gan.training.window=9"): "streaming_cache is 1,073,741,824 bytes; expected at least "
    "1,207,959,552: 2 times training.window (9) tars of dataset.shard_bytes (67,108,864)",
    ("models.gan.training.batch=65", "models.gan.execution.processes=2"): "models.gan: training.batch 65 is not divisib"
    "le by processes 2 x nodes 1 x accumulate 1 = 2",
    (
        "models.gan.training.batch=64",
        "models.gan.training.accumulate=3",
    ): "models.gan.training: batch 64 is not divisibl",
    (
        "models.gan.evaluation.kind=restoration",
    ): "models.gan: a recipe of kind 'gan' is evaluated by kind 'generation', n",
    ("models.gan.recipe={kind: inpainter}", "models.gan.evaluation.kind=restoration"): "model 'gan' mends images, so th"
    "e section 'corruption' is needed",
    ("dataset.size=48",): "model 'gan' does not fit dataset.size 48: found images of 48 px, expected 8, 16, 32, 64",
    (
        "models.gan.recipe.loss={kind: relativistic}",
        "models.gan.recipe.discriminator.normalisation=batch",
    ): "models.gan.recipe: discriminator.normalisation 'batch' cannot be combined with the gradient penalty of loss",
    (
        "dataset.split={validation: 0.5, test: 0.6}",
    ): "dataset.split: validation 0.5 + test 0.6 leave nothing to train on",
}


@pytest.mark.parametrize("overrides", CLASHES, ids=lambda overrides: overrides[0])
def test_fields_that_clash_are_named_together(overrides, file):
    assert f"{file}: {CLASHES[overrides]}" in refusal(file, *overrides)


def test_all_mistakes_are_listed_at_once(file):
    lines = refusal(file, "seed=-1", "models.gan.training.imags=3", "name=7").splitlines()
    assert len(lines) == 3


def test_an_override_creates_what_is_missing_and_leaves_the_rest(file):
    recipe = "models.gan.recipe.optimizer"
    overrides = [f"{recipe}.schedule.warmup_images=100", f"{recipe}.kind=adam", "seed=5", "store=s3://bucket/prefix"]
    run = load(file, overrides)
    optimizer = run.models["gan"].recipe.optimizer
    assert (optimizer.schedule.warmup_images, optimizer.rate, run.seed) == (100, 2e-4, 5)
    assert run.store == "s3://bucket/prefix"


def test_an_override_of_a_section_of_the_same_kind_is_merged_and_of_another_kind_replaces(file):
    overrides = ["models.gan.recipe.loss={kind: hinge, r1: 2}", "models.gan.recipe.loss={r2: 3}"]
    loss = load(file, overrides).models["gan"].recipe.loss
    assert (loss.kind, loss.r1, loss.r2) == ("hinge", 2, 3)
    loss = load(file, [*overrides, "models.gan.recipe.loss={kind: wasserstein}"]).models["gan"].recipe.loss
    assert (loss.kind, loss.r1, loss.gradient_penalty) == ("wasserstein", 0, 10)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed", "--set seed: expected PATH=VALUE, such as models.gan.training.images=1000"),
        ("=3", "--set =3: expected PATH=VALUE"),
        ("name.first=3", "--set name.first=3: name is a value and has no keys"),
        ("seed={", "--set seed={: not YAML, line 1, column 2: while parsing a flow node"),
        ("seed=017", "--set seed=017: the value: expected a number without a 0 before it, found 017"),
    ],
)
def test_an_override_that_cannot_be_read_says_how_to_write_it(override, words, file):
    assert words in refusal(file, override)


def test_an_override_into_a_list_says_to_set_it_as_a_whole():
    words = "--set corruption.frozen.bins.0=0.1: corruption.frozen.bins is a list; set it as a whole"
    assert words in refusal(QUICKSTART, "corruption.frozen.bins.0=0.1")


@pytest.mark.parametrize(
    ("text", "rate"), [("1e-4", 1e-4), ("2E-3", 2e-3), ("1.5e-3", 1.5e-3), ("0.1", 0.1), ("1", 1.0)]
)
def test_numbers_are_written_as_people_write_them(text, rate, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        yaml.safe_dump(small()).replace("kind: gan", f"kind: gan\n      optimizer: {{kind: adam, rate: {text}}}")
    )
    assert load(path).models["gan"].recipe.optimizer.rate == rate
    assert load(path, ["models.gan.training.images=2e4"]).models["gan"].training.images == 20_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "expected keys and values, found NoneType"),
        ("- a", "expected keys and values, found list"),
        ("a: [", "not YAML"),
        ("name: a\nname: b", "name: this key is there twice, in line 1 and in line 2"),
        ("a: !!python/object/apply:os.system ['true']", "not YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused_with_its_name(content, words, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(content)
    assert words in refusal(path)
    assert str(path) in refusal(path)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path):
    assert "cannot be read (No such file or directory)" in refusal(tmp_path / "none.yaml")
    (tmp_path / "picture.yaml").write_bytes(b"\x89PNG\xff")
    assert "picture.yaml: expected text in UTF-8, found byte 0x89 at 0" in refusal(tmp_path / "picture.yaml")


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("seed=yes", "seed"),
        ("models.vae.training.images=true", "models.vae.training.images"),
        ("corruption.frozen.bins=[no, 0.2, 0.5]", "corruption.frozen.bins.0"),
        ("models.inpainter.recipe.optimizer.rate=on", "models.inpainter.recipe.optimizer.rate"),
    ],
)
def test_yes_and_no_are_no_numbers(override, path):
    words = f"{path}: expected a number, found {'no' not in override} (as YAML reads yes"
    assert words in refusal(QUICKSTART, override)


@pytest.mark.parametrize("value", [".inf", ".nan", "1e999"])
@pytest.mark.parametrize("path", ["models.inpainter.recipe.loss.hole_weight", "models.gan.promotion.relative_margin"])
def test_no_number_is_infinite(path, value):
    assert re.search(rf"{path}: .*, found (inf|nan)", refusal(QUICKSTART, f"{path}={value}"))


def test_a_configuration_survives_json_and_cannot_be_changed(file):
    run = load(file)
    assert RunConfig.model_validate_json(run.model_dump_json()) == run
    with pytest.raises(ValueError, match="frozen"):
        run.seed = 3


def test_defaults_are_whole():
    assert TrainingConfig(images=1).batch % TrainingConfig(images=1).accumulate == 0


@pytest.mark.slow
def test_the_runs_name_leaves_out_where_it_is_stored_and_how_it_is_carried_out(file):
    from components.stages.nights import run_digest

    plain = run_digest(load(file))
    same = ["store=elsewhere", "models.gan.execution.processes=4", "models.gan.execution.time_budget_s=60"]
    same += ["models_at_once=2", "retraining={skip_below: 0.1, nights_per_week: 3, hours: 1, gpu_hours: 1}"]
    assert {run_digest(load(file, [override])) for override in same} == {plain}
    windowed = load(file, ["models.gan.training.window=3"])
    assert run_digest(windowed.model_copy(update={"streaming_cache": 2**30})) == run_digest(windowed)
    other = ["seed=1", "models.gan.training.batch=32", "dataset.size=32", "models.gan.recipe.loss.kind=hinge", "name=b"]
    other += ["retraining.start=champion", "models.gan.training.window=3"]
    assert len({run_digest(load(file, [override])) for override in other} | {plain}) == len(other) + 1


def test_a_configuration_without_windows_and_streaming_is_written_as_before_there_were_any(file):
    dumped = load(file).model_dump(mode="json")
    assert "streaming_cache" not in dumped
    assert "window" not in dumped["models"]["gan"]["training"]
    streamed = load(file, [*STREAMED, "models.gan.training.window=8"]).model_dump(mode="json")
    assert streamed["streaming_cache"] == 2**30
    assert streamed["models"]["gan"]["training"]["window"] == 8


def test_a_configuration_without_squares_is_written_as_before_there_were_any():
    dumped = load(QUICKSTART).model_dump(mode="json")["models"]["inpainter"]
    assert "crop" not in dumped["training"]
    assert "crop_shrinks" not in dumped["training"]
    assert "reach_px" not in dumped["recipe"]
    assert "psnr_full_weight" not in dumped["recipe"]["loss"]
    said = ["training.crop=8", "recipe.reach_px=9", "recipe.loss.psnr_full_weight=2"]
    dumped = load(QUICKSTART, [f"models.inpainter.{one}" for one in said]).model_dump(mode="json")["models"][
        "inpainter"
    ]
    assert (dumped["training"]["crop"], dumped["recipe"]["reach_px"]) == (8, 9)
    assert dumped["recipe"]["loss"]["psnr_full_weight"] == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "models.gan.training.crop=16",
            "models.gan.training.crop is for models that mend; one of kind 'gan' would make images",
        ),
        ("models.inpainter.training.crop=999", "models.inpainter.training.crop 999 is larger than dataset.size"),
        (
            "models.inpainter.training={images: 64, crop: 16, crop_shrinks: [1, 4]}",
            "models.inpainter.training.crop 16 times 4, the largest of crop_shrinks, is larger than dataset.size 32",
        ),
        ("models.inpainter.training.crop_shrinks=[2]", "crop_shrinks [2] shrinks squares, but there is no crop"),
        ("models.inpainter.training.crop=9", "model 'inpainter' does not fit training.crop 9: "),
    ],
)
def test_squares_that_no_model_could_learn_from_are_refused_in_words(override, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(QUICKSTART, [override])


def test_a_configuration_without_a_policy_is_written_as_before_there_was_one(file):
    assert "retraining" not in load(file).model_dump()
    assert load(file, ["retraining.hours=2"]).model_dump()["retraining"]["hours"] == 2


def test_a_night_has_the_models_that_the_policy_names():
    run = load(QUICKSTART, ["retraining.models=[vae, inpainter]"])
    assert set(run.of_the_night.models) == {"vae", "inpainter"}
    assert load(QUICKSTART).of_the_night.models.keys() == run.models.keys()


def test_a_price_is_in_no_digest_and_unsaid_it_is_not_dumped(root: Path) -> None:
    from components.stages.inputs import content_of
    from components.stages.nights import run_digest

    file = root / "tests" / "flows" / "mini.yaml"
    plain = load(file)
    priced = load(file, ["models.vae.execution.price_per_hour={core: 0.05, currency: CHF}"])
    assert run_digest(priced) == run_digest(plain)
    assert "price_per_hour" not in str(content_of(plain)), "the pages of earlier releases keep their digests"
    assert "'step'" not in str(content_of(plain)), "and so they do without a word on how steps are taken"
    assert "price_per_hour" in str(content_of(priced)), "money is another page"
    assert priced.models["vae"].training == plain.models["vae"].training
