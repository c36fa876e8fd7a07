"""Pictures mended per second over HTTP, by 1, 8 and 64 clients: `kintsugi serve` against MLflow's scoring server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from harness import Effort, Figure, Peer, Timed
from load import Load, both_servers, prepared, request_of

from components.recipes.export import load_producer
from components.recipes.serving import ServedRestorer


def figures(effort: Effort, folder: Path) -> Iterator[Figure]:
    """Yield a figure per number of clients. The servers are other processes: CPU time is that of the clients alone."""
    export = prepared(folder)
    body = json.dumps({"dataframe_records": [request_of()]}).encode()
    producer, frame = ServedRestorer(load_producer(export)), pd.DataFrame([request_of()])
    requests = effort.of(128, 8)

    def asked(port: int, clients: int, count: int) -> set[str]:
        load = Load(port, "/invocations", body)
        load.run(clients, lambda sent: sent < count)
        assert len(load.answers) == count
        return {json.loads(one.content)["predictions"][0]["image"] for one in load.answers}

    with both_servers(folder, export) as ports:
        ours, theirs = ports.values()

        def check() -> str:
            alone = {producer.predict(frame)[0]["image"]}
            assert asked(ours, 8, 16) == asked(theirs, 8, 16) == alone
            return "both answer with the bytes that the model gives without a server"

        for clients in (1, 8, 64):
            yield Figure(
                f"64 px mended over HTTP, {clients} clients",
                "pictures",
                Timed("ours", requests, lambda clients=clients: asked(ours, clients, requests)),
                [
                    Peer(
                        Timed(
                            "mlflow models serve", requests, lambda clients=clients: asked(theirs, clients, requests)
                        ),
                        1,
                    ),
                    Peer(
                        Timed(
                            "a loop without a server",
                            requests,
                            lambda: [producer.predict(frame) for _ in range(requests)],
                        )
                    ),
                ],
                check,
                cores=2,
                clocks=("wall",),
            )
