"""Ten thousand damaged files become pictures or reasons: none crashes, hangs, costs much or is unaccounted for."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from components.data.encoding import PngEncoding
from components.data.preparation import Preparation, Prepared
from components.data.sources import Problem
from tests.hostile.pictures import encodings

INPUTS = 10_000
PREPARATION = Preparation(size=16, fit="pad", encoding=PngEncoding(), max_image_pixels=100_000)
FILES = encodings()

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def test_every_encoding_that_damage_begins_with_is_whole() -> None:
    made = {name: PREPARATION.prepare(content) for name, content in FILES.items()}
    assert {name for name, one in made.items() if isinstance(one, Problem)} == {"real.tif"}
    assert made["real.tif"].reason == "unsupported_pixels"
    assert {one.original_format for one in made.values() if isinstance(one, Prepared)} == {
        "JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF",
    }  # fmt: skip


@pytest.mark.slow
def test_ten_thousand_damaged_files_crash_and_hang_nothing(root: Path) -> None:
    command = [sys.executable, "tests/hostile/fuzz.py", "--inputs", str(INPUTS), "--most-pixels", "1000000"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    rows = dict(re.findall(r"^(\S.*?)  +(\S.*)$", done.stdout, re.MULTILINE))
    counts = {name: int(value.replace(",", "")) for name, value in rows.items() if name[:7] in {"accepte", "refused"}}
    assert rows["inputs"] == f"{INPUTS:,}"
    assert sum(counts.values()) == INPUTS
    assert set(counts) >= {"accepted", *(f"refused: {reason}" for reason in ("damaged", "truncated", "not_an_image"))}
    assert min(counts["accepted"], counts["refused: damaged"]) > 1000
    assert rows["crashes and hangs"] == "0"


@given(st.binary(max_size=200), st.sampled_from(sorted(FILES)), st.integers(0, 200))
def test_any_bytes_behind_any_beginning_become_a_picture_or_a_reason(tail: bytes, name: str, kept: int) -> None:
    made = PREPARATION.prepare(FILES[name][:kept] + tail)
    assert isinstance(made, Prepared) or (made.reason and made.found)


@given(
    st.integers(1, 60), st.integers(1, 60), st.sampled_from(("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16")),
    st.sampled_from(("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")),
)  # fmt: skip
def test_a_picture_of_any_size_and_mode_is_accepted_by_any_format_that_holds_it(
    width: int, height: int, mode: str, sort: str
) -> None:
    kept = io.BytesIO()
    try:
        Image.new(mode, (width, height)).save(kept, sort)
    except OSError:  # the format has no such mode
        return
    made = PREPARATION.prepare(kept.getvalue())
    assert isinstance(made, Prepared), made
    assert made.original_size == (width, height)
