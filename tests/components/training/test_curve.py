"""The curve beside the checkpoints survives kills, and a resumed run does not report twice."""

from components.training.curve import Curve, read_curve


def test_points_come_back_in_order(tmp_path):
    curve = Curve(tmp_path / "curve.jsonl", 0)
    for images in (10, 20):
        curve.add({"loss": images / 100}, images)
    assert read_curve(curve.path) == [{"images": 10, "loss": 0.1}, {"images": 20, "loss": 0.2}]


def test_a_resumed_run_drops_what_came_after_its_checkpoint_and_a_torn_line(tmp_path):
    path = tmp_path / "curve.jsonl"
    curve = Curve(path, 0)
    for images in (10, 20, 30):
        curve.add({"loss": 0.0}, images)
    with path.open("ab") as file:
        file.write(b'{"images": 40, "lo\xff')
    Curve(path, 20).add({"loss": 1.0}, 25)
    assert [point["images"] for point in read_curve(path)] == [10, 20, 25]


def test_there_may_be_no_curve_yet(tmp_path):
    assert read_curve(tmp_path / "none.jsonl") == []
