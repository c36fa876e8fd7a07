"""What each rank of the test of sample order runs: a training that notes which rows of which images it was given."""

import hashlib
import json
import sys
from collections.abc import Generator
from pathlib import Path

from torch import Tensor

from components.data import Batch, Loader
from components.worker import __main__ as worker


def main() -> None:
    """Train as the job in the file named on the command line says, and leave the notes beside it."""
    batches = Loader.batches

    def noting(loader: Loader, first_image: int) -> Generator[Batch, None, None]:
        seen: dict[int, str] = {}
        try:
            for batch in batches(loader, first_image):
                for row in range(len(batch)):
                    seen[batch.first_image + batch.offset + row] = digest_of_row(batch, row)
                yield batch
        finally:
            Path(sys.argv[1]).with_name(f"seen-from-{min(seen)}.json").write_text(json.dumps(seen))

    Loader.batches = noting  # type: ignore[method-assign]
    worker.main()


def digest_of_row(batch: Batch, row: int) -> str:
    """Return a digest of all that a model is given of one image."""
    whole = hashlib.sha256()
    for part in (batch.images, batch.corrupted, batch.missing):
        if isinstance(part, Tensor):
            whole.update(part[row].contiguous().numpy().tobytes())
    return whole.hexdigest()


if __name__ == "__main__":
    main()
