"""The page at `/` in a real browser: paint, mend, compare, save, draw; by mouse, by keys alone, by touch."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.artifacts import Store
from components.pictures.provenance import provenance_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

TURNED = 0x0112  # EXIF's tag of orientation
SLOW_MS = 120_000


def file(pixels: np.ndarray, name: str, mime: str, **options: object) -> dict[str, object]:
    """Return a picture as playwright hands files to a page."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, mime.partition("/")[2].upper(), **options)
    return {"name": name, "mimeType": mime, "buffer": buffer.getvalue()}


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(6).integers(0, 256, (height, width, 3), np.uint8)


class Person:
    """Somebody before the page."""

    def __init__(self, tab, address):
        self.tab, self.complaints = tab, []
        tab.bring_to_front()
        tab.on("console", lambda message: self.complaints.append(message.text))
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.on("requestfailed", lambda failed: self.complaints.append(failed.url))
        tab.on(
            "request",
            lambda request: request.url.startswith((address, "blob:", "data:")) or self.complaints.append(request.url),
        )
        tab.goto(address)
        tab.locator("#card h2").wait_for(timeout=SLOW_MS)

    def choose(self, photo):
        self.tab.set_input_files("#photo", photo)
        self.tab.locator("#canvas").wait_for()

    def paint(self, *places):
        """Draw a line through places, as fractions of the photo."""
        box = self.tab.locator("#canvas").bounding_box()
        for number, (x, y) in enumerate(places):
            self.tab.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y, steps=4)
            if number == 0:
                self.tab.mouse.down()
        self.tab.mouse.up()

    def mend(self):
        self.tab.click("#mend-now")
        self.tab.locator("#result").wait_for(timeout=SLOW_MS)

    def saved(self, folder: Path) -> Path:
        with self.tab.expect_download() as waiting:
            self.tab.click("#save")
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    def fits(self):
        return self.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture
def visit(register, serve, browser, publish, told, workspace):
    """Open the page of a service with models of each kind."""
    opened = []

    def come(*families, limits=None, **screen):
        for seed, family in enumerate(families or ("inpainter", "gan")):
            register(family, seed)
        publish(Store(workspace.store), told("team", 0))
        service = serve(model="inpainter", limits=limits)
        tab = browser.new_page(**{"viewport": {"width": 1280, "height": 860}, **screen})
        opened.append(tab)
        return Person(tab, service.address)

    yield come
    for tab in opened:
        tab.close()


def test_a_photo_is_painted_mended_compared_and_saved(visit, tmp_path):
    person, photo = visit(), noise(90, 140)
    person.choose(file(photo, "holiday.png", "image/png"))
    person.paint((0.2, 0.3), (0.5, 0.3))
    person.paint((0.6, 0.7), (0.8, 0.7))
    person.tab.keyboard.press("Control+z")
    person.mend()
    assert "mended by team-inpainter, version 1" in person.tab.locator("#said").inner_text()
    person.tab.locator("#cut").fill("20")
    assert person.tab.locator("#compare").evaluate("stage => stage.style.getPropertyValue('--cut')") == "20%"
    path = person.saved(tmp_path)
    assert path.name == "holiday-mended.png"
    with Image.open(path) as image:
        mended, said = np.asarray(image.convert("RGB")), provenance_of(image)
    assert (said.model, said.version) == ("team-inpainter", 1)
    changed = (mended != photo).any(axis=2)
    assert changed[26:28, 30:68].mean() > 0.9  # what was painted
    assert not changed[55:].any()  # what was undone
    assert not changed[:15].any()
    card = person.tab.locator("#card").inner_text()
    assert "fills what is missing" in card
    assert "17.5" in card
    person.tab.click("#go-on")
    person.tab.locator("#canvas").wait_for()
    assert person.tab.locator("#undo").is_disabled()
    assert person.fits()
    assert person.complaints == []


@pytest.mark.parametrize(("mime", "name"), [("image/jpeg", "a.jpg"), ("image/webp", "a.webp"), ("image/png", "a.png")])
def test_a_turned_photo_is_mended_where_it_is_painted(visit, tmp_path, mime, name):
    person = visit("inpainter")
    exif = Image.Exif()
    exif[TURNED] = 6
    person.choose(file(np.full((60, 100, 3), 128, np.uint8), name, mime, exif=exif))
    box = person.tab.locator("#canvas").bounding_box()
    shown = (
        (box["width"] > box["height"], "100 × 60")
        if mime == "image/webp"
        else (box["width"] < box["height"], "60 × 100")
    )
    assert shown[0]
    assert shown[1] in person.tab.locator("#told").inner_text()
    person.paint((0.5, 0.1), (0.5, 0.2))
    person.mend()
    with Image.open(person.saved(tmp_path)) as image:
        mended = np.asarray(image.convert("RGB"), np.int16)
    assert (mended.shape[1], mended.shape[0]) == tuple(map(int, shown[1].split(" × ")))
    changed = np.abs(mended - 128).max(axis=2) > 8
    assert changed[: mended.shape[0] // 3].any()
    assert not changed[mended.shape[0] // 2 :].any()
    assert person.complaints == []


def test_a_photo_of_12_megapixels_is_mended_at_its_own_size(visit, tmp_path):
    person = visit("inpainter")
    across = np.linspace(0, 255, 4000, dtype=np.uint8)
    photo = np.broadcast_to(across[None, :, None], (3000, 4000, 3)).copy()
    person.choose(file(photo, "phone.jpg", "image/jpeg", quality=90))
    person.paint((0.48, 0.5), (0.52, 0.5))
    person.mend()
    with Image.open(person.saved(tmp_path)) as image:
        assert (image.format, image.size) == ("JPEG", (4000, 3000))
        mended = np.asarray(image, np.int16)
    changed = np.abs(mended - photo).max(axis=2) > 40
    down, along = np.nonzero(changed)
    assert down.min() > 1400
    assert down.max() < 1600
    assert along.min() > 1800
    assert along.max() < 2200
    assert person.complaints == []


def test_what_goes_wrong_is_said_in_words(visit):
    person = visit()
    problem = person.tab.locator("#mend-problem")
    person.tab.set_input_files("#photo", {"name": "notes.png", "mimeType": "image/png", "buffer": b"no picture"})
    problem.filter(has_text="notes.png is no picture that this browser can read").wait_for()
    person.choose(file(noise(60, 60), "a.png", "image/png"))
    person.tab.click("#mend-now")
    problem.filter(has_text="Nothing is painted yet").wait_for()
    person.tab.click("#invert")
    person.tab.click("#mend-now")
    problem.filter(has_text="it marks every pixel").wait_for()
    person.complaints.clear()  # the browser says of each refusal that there was one
    person.tab.click("#draw-tab")
    person.tab.locator("#count").evaluate("count => count.add(new Option('999', '999', true, true))")
    person.tab.click("#draw-now")
    person.tab.locator("#draw-problem").filter(has_text="Count: expected from 1 to 64, found 999").wait_for()
    assert all("422" in one for one in person.complaints)


def test_keys_alone_are_enough(visit, tmp_path):
    person, photo = visit("inpainter"), noise(64, 64)
    keys = person.tab.keyboard
    person.tab.locator("#notice").wait_for(state="hidden")  # all that the page asks for is there, and takes no focus
    with person.tab.expect_file_chooser() as choosing:
        person.tab.locator("#choose-photo").press("Enter")
    choosing.value.set_files(file(photo, "a.png", "image/png"))
    person.tab.locator("#canvas").wait_for()
    assert person.tab.evaluate("document.activeElement.id") == "canvas"
    for key in ("[", "[", "ArrowUp", "Space", "Shift+ArrowRight", "Shift+ArrowRight", "Space"):
        keys.press(key)
    assert person.tab.locator("#undo").is_enabled()
    keys.press("Tab")
    assert person.tab.evaluate("document.activeElement.id") == "mend-now"
    keys.press("Enter")
    person.tab.locator("#result").wait_for(timeout=SLOW_MS)
    assert person.tab.evaluate("document.activeElement.id") == "cut"
    keys.press("ArrowLeft")
    assert person.tab.locator("#cut").input_value() == "49"
    keys.press("Tab")
    with person.tab.expect_download() as waiting:
        keys.press("Enter")
    waiting.value.save_as(tmp_path / "saved.png")
    changed = (np.asarray(Image.open(tmp_path / "saved.png").convert("RGB")) != photo).any(axis=2)
    assert changed.any()
    assert not changed[40:].any()
    assert not changed[:, :24].any()


def test_a_mask_from_a_file_is_added_to_and_taken_from(visit, tmp_path):
    person, photo = visit("inpainter"), noise(64, 64)
    hole = np.zeros((64, 64), np.uint8)
    hole[8:24, 8:56] = 255
    person.choose(file(photo, "a.png", "image/png"))
    person.tab.set_input_files("#mask", file(hole, "mask.png", "image/png"))
    person.tab.click("#eraser")
    person.paint((0.75, 0.25), (0.95, 0.25))
    person.mend()
    with Image.open(person.saved(tmp_path)) as image:
        changed = (np.asarray(image.convert("RGB")) != photo).any(axis=2)
    assert changed[8:24, 8:40].mean() > 0.9
    assert not changed[15:17, 50:].any()
    assert not changed[24:].any()


def test_on_a_phone_fingers_paint_and_everything_fits(visit, tmp_path):
    person = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme="dark")
    assert person.fits()
    person.choose(file(noise(300, 400), "a.jpg", "image/jpeg"))
    assert person.fits()
    box = person.tab.locator("#canvas").bounding_box()
    assert box["width"] > 340
    person.tab.touchscreen.tap(box["x"] + 100, box["y"] + 100)
    assert person.tab.locator("#undo").is_enabled()
    person.mend()
    assert person.fits()
    person.tab.click("#draw-tab")
    person.tab.select_option("#class", "cat")
    person.tab.click("#draw-now")
    person.tab.locator("#sheet-figure").wait_for(timeout=SLOW_MS)
    first = person.tab.locator("#sheet-said").inner_text()
    assert first == "16 pictures of cat by team-gan, version 1, seed 0."
    person.tab.click("#draw-again")
    now = "document.getElementById('sheet-said').textContent"
    is_other = f"first => {now}.includes('seed') && {now} !== first"
    person.tab.wait_for_function(is_other, arg=first)
    assert person.fits()
    assert person.complaints == []


def test_an_open_page_hears_of_a_new_version_and_an_earlier_one_is_chosen_and_answers(visit, register):
    person = visit("inpainter")
    register("inpainter", 7)
    person.tab.locator("#mend-version option").nth(1).wait_for(state="attached", timeout=SLOW_MS)
    person.tab.select_option("#mend-version", "1")
    person.tab.locator("#card h2").filter(has_text="version 1").wait_for(timeout=SLOW_MS)
    person.choose(file(noise(64, 64), "a.png", "image/png"))
    person.paint((0.3, 0.3), (0.5, 0.3))
    person.mend()
    assert "version 1" in person.tab.locator("#said").inner_text()
    register("inpainter", 8)
    person.tab.locator("#mend-version option").nth(2).wait_for(state="attached", timeout=SLOW_MS)
    assert person.tab.locator("#mend-version").input_value() == "1"
    assert person.complaints == []
