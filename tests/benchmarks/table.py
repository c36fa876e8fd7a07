"""The table of a run of the benchmarks, rendered from its JSON; nothing in it is typed by hand."""

from typing import Any

_HEAD = (
    "| figure | peer | ours per s | peer per s | ratio by wall | ratio by CPU | canary (wall, CPU) | goal | verdict |",
    "|---|---|---|---|---|---|---|---|---|",
)


def render(run: dict[str, Any]) -> str:
    """Return the run as Markdown."""
    machine, limits = run["machine"], run["roofline"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    lines = [
        "# Benchmarks",
        "",
        f"Written by `{run['command']}` on {machine['at']} at {machine['commit']}"
        + (f" with {machine['changed_files']} changed files" if machine["changed_files"] else "")
        + "; do not edit.",
        "",
        f"{machine['processor']} ({', '.join(machine['flags']) or 'no wide vectors'}), {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, Python {machine['python']}, {versions}.",
        f"Load average {machine['load_average']} at the start and {run['load_average_at_end']} at the end: above 0 at "
        "the start, others used the same cores.",
        "",
        f"Limits, one thread: {limits['gemm_fp32_gflops']} GFLOP/s fp32, {limits['gemm_bf16_gflops']} GFLOP/s bf16, "
        f"copy {limits['copy_gb_s']} GB/s (read + write), JPEG decoding {limits['jpeg_32px_per_s']:,.0f} images/s at "
        f"32 px and {limits['jpeg_256px_per_s']:,.0f} at 256 px.",
        "",
        "Rates are the best, per second of CPU time. Ratios are of rates, ours over the peer's: median of per-round "
        "ratios (min to max). The canary is ours over ours. The verdict is by wall time where the canary is within 5 % "
        "of 1, else by CPU time, else it must hold in every round by both; two processes are judged by CPU time alone.",
        "",
        *_HEAD,
    ]
    for area, figures in run["areas"].items():
        for figure in figures:
            lines += [_line(area, figure, peer) for peer in figure["peers"]]
    lines += ["", "What was found equal before the clock started:", ""]
    lines += [f"- {figure['figure']}: {figure['equal_work']}" for area in run["areas"].values() for figure in area]
    return "\n".join(lines) + "\n"


def _line(area: str, figure: dict[str, Any], peer: dict[str, Any]) -> str:
    canary, ratio = figure["canary"], peer["ratio"]
    cells = (
        f"{area}: {figure['figure']} ({figure['unit']}, {figure['cores']} core{'s' * (figure['cores'] > 1)}, "
        f"n = {figure['rounds']})",
        peer["name"],
        _number(figure["ours"]["best_per_cpu_s"]),
        _number(peer["best_per_cpu_s"]),
        _range(ratio["wall"]),
        _range(ratio["cpu"]),
        f"{canary['wall']['median']:.2f}, {canary['cpu']['median']:.2f}",
        "" if peer["goal"] is None else f"{peer['goal']:g}x",
        peer["verdict"],
    )
    return f"| {' | '.join(cells)} |"


def _range(ratio: dict[str, float]) -> str:
    return f"{_number(ratio['median'])}x ({_number(ratio['min'])} to {_number(ratio['max'])})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
