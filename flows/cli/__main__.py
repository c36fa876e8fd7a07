"""`python -m flows.cli` is `kintsugi`, where no such command is installed."""

import sys

from flows.cli import main

if __name__ == "__main__":
    sys.argv[0] = f"{sys.executable} -m flows.cli"  # as messages say it
    main()
