"""What it costs to encode anew images that come as shards would hold them: time of each, and what JPEG and WebP lose.

`python tests/benchmarks/reencoding.py` prints a table over crops of photographs of 256 px.
"""

import time
from statistics import median

import cv2
import machine
import numpy as np
from pictures import crops
from PIL import Image

from components.data import JpegEncoding, PngEncoding, WebpEncoding
from components.data.preparation import Preparation
from components.data.reader import decode

SIZE, IMAGES, ROUNDS = 256, 200, 5


def psnr(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB; infinite for equal pixels."""
    error = float(np.mean((found.astype(np.float64) - truth) ** 2))
    return float("inf") if not error else 10 * np.log10(255**2 / error)


def row(encoding: JpegEncoding | PngEncoding | WebpEncoding, pictures: list[np.ndarray]) -> str:
    """Return the line of one encoding."""
    files = [encoding.encode(Image.fromarray(picture)) for picture in pictures]
    preparation = Preparation(size=SIZE, fit="crop", encoding=encoding, max_image_pixels=10**6)
    whole, encoded = [], []
    for _ in range(ROUNDS):
        began = time.process_time()
        prepared = [preparation.prepare(content) for content in files]
        whole.append((time.process_time() - began) / len(files))
        images = [Image.fromarray(decode(content, "")) for content in files]
        began = time.process_time()
        again = [encoding.encode(image) for image in images]
        encoded.append((time.process_time() - began) / len(files))
    losses = [psnr(decode(one.image, ""), decode(content, "")) for one, content in zip(prepared, files, strict=True)]
    size = sum(map(len, again)) / sum(map(len, files))
    return (
        f"| {encoding.kind} | {1e3 * median(whole):.2f} ms | {1e3 * median(encoded):.2f} ms | "
        f"{median(encoded) / median(whole):.0%} | {size:.1%} | {median(losses):.1f} dB |"
    )


def main() -> None:
    """Measure, and print the table."""
    cv2.setNumThreads(1)
    pictures = list(crops(IMAGES, SIZE))
    print("| encoding | CPU time of a file | of it encoding | | size after | PSNR to the file |")
    print("|---|---|---|---|---|---|")
    for encoding in (PngEncoding(), JpegEncoding(), WebpEncoding()):
        print(row(encoding, pictures), flush=True)
    print(machine.in_a_line(machine.facts(), ("processor", "cores", "commit", "load_average", "at")))


if __name__ == "__main__":
    main()
