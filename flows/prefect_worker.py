"""What `kintsugi worker` starts for each pool: Prefect's own worker, which dies with the process that started it."""

import sys

from components.launch.parent import die_with_parent


def main() -> None:
    """Run `prefect` with this process's arguments."""
    die_with_parent()
    from prefect.cli import app  # here: the tie to the parent comes first, for importing takes seconds

    sys.argv[0] = "prefect"
    app()


if __name__ == "__main__":
    main()
