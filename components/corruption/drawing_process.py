"""A process that damages images: what a batch of a model that mends is shown, drawn beside the training.

Use: python -m components.corruption.drawing_process MIX SEED, the former JSON; `drawing.py` starts it. From standard
input it reads batches: the length of a JSON text with the images' shape, keys and passes, that text, the images' bytes.
Of each it writes to standard output the damaged images' bytes and a byte per pixel, 1 where it is missing. When the
input ends, so does it.
"""

import json
import os
import struct
import sys

import cv2
import numpy as np

from components.corruption.mix import CorruptionMix

READY = b"ready"
"""Written once the process can be asked."""
LENGTH = struct.Struct("!I")


def main() -> None:
    """Serve until the input ends."""
    mix, seed = CorruptionMix.model_validate_json(sys.argv[1]), int(sys.argv[2])
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not speak between the answers
    cv2.setNumThreads(1)
    answers.write(READY)
    answers.flush()
    while head := requests.read(LENGTH.size):
        asked = json.loads(requests.read(LENGTH.unpack(head)[0]))
        content = requests.read(int(np.prod(asked["shape"])))
        images = np.frombuffer(content, np.uint8).reshape(asked["shape"])
        shown, missing = mix.corrupt_batch(images, asked["keys"], asked["passes"], seed)
        answers.write(shown.tobytes())
        answers.write(missing.tobytes())
        answers.flush()


if __name__ == "__main__":
    main()
