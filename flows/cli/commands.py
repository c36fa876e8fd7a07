"""The commands: which file each is in, and what `kintsugi --help` says of it; imported when they are called."""

from cyclopts import App

COMMANDS = {
    "pipeline": {
        "run": "Do all that is missing: prepare; of each model train, evaluate, promote; publish.",
        "shard": "Stage prepare: read the source, check its images, write shards and the frozen evaluation set.",
        "train": "Stage train: train every model of the run, resuming what was interrupted.",
        "evaluate": "Stage evaluate: measure every model of the run, with the baselines beside it.",
        "promote": "Stage promote: register the run's models, and put those in service that the gate lets through.",
        "report": "Stage publish: write the run's page.",
        "check": "Validate a configuration and say what a run would do, and what it would reuse.",
        "compare": "Write a page that sets runs side by side.",
    },
    "sweep": {
        "sweep": "Try values of one model's configuration, and write the page that ranks them.",
    },
    "yardstick": {
        "yardstick": "List the pinned evaluation sets of a run, or pin a new one.",
    },
    "data": {
        "data": "Show a dataset's versions, what changed, whether all is whole, what is odd; forget images.",
    },
    "registry": {
        "models": "List the registered models: which version is in service, and how good it is.",
        "rollback": "Put the previous champion back in service.",
        "verify": "Check ledger, aliases and files of models, and the champion's lineage down to the shards.",
    },
    "decisions": {
        "approve": "Put a version in service that the gate holds, unless the champion has changed since.",
        "reject": "Refuse a version that the gate holds.",
        "history": "Say what was decided on a model's versions: when, by whom, why, against which champion.",
    },
    "gc": {
        "gc": "Say what nothing in use needs any more, in store, cache and MLflow; --delete deletes it.",
    },
    "leaderboard": {
        "leaderboard": "List all versions of the models over time: decision, score, data, hours; and renew their page.",
    },
    "use": {
        "repair": "Mend a picture with the champion.",
        "generate": "Make pictures with the champion.",
        "serve": "Serve a page to mend and draw with the champions, their API, and all runs' pages, until Ctrl-C.",
    },
    "service": {
        "deploy": "Make the Prefect server retrain, watch and re-score by itself.",
        "worker": "Carry out what is due on this host until Ctrl-C or SIGTERM.",
    },
    "dashboards": {
        "dashboards": "Open MLflow and Prefect on this machine's own records, on loopback only, until Ctrl-C.",
    },
    "doctor": {
        "doctor": "Say what is installed, reachable and free, logging in to each server.",
    },
}
"""By file: names, and the first sentence of the help of each."""


def add_commands(app: App, *, listed: bool) -> None:
    """Let an application know all commands, without importing any.

    Args:
        app: The application.
        listed: Whether it will list them. A command's own help is longer, and what is said here would take its place.
    """
    for file, lines in COMMANDS.items():
        for name, line in lines.items():
            app.command(f"flows.cli.{file}:{name}", name=name, help=line if listed else None)
