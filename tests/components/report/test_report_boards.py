"""A comparison has one table for each set of images, and a dash only where a number exists but not under a protocol."""

from components.evaluation.protocol import Protocol, Score
from components.report.boards import boards_of
from components.report.comparison import RunColumn, write_comparison
from components.report.content import FreshScores, Ground, ModelPage, PageContent, Subject

PINNED = Ground(name="evaluation set 1", facts="60 held-out images", is_pinned=True)
TODAY = Ground(name="today's data", facts="90 held-out images", is_pinned=False)


def subject(role, value, reference, metrics=("fd",), name=None):
    protocol = Protocol(metric="m", implementation="i", reference=reference, samples=2)
    scores = tuple(
        Score(name=one, value=value, low=value, high=value, better="lower", protocol=protocol) for one in metrics
    )
    return Subject(name=name or role, role=role, scores=scores)


def card(*subjects, ground=PINNED, fresh=()):
    scores = FreshScores(ground=TODAY, subjects=fresh) if fresh else None
    return ModelPage(name="vae", subjects=subjects, ground=ground, fresh=scores)


def shown(boards):
    return [(board.heading, [one.name for one in board.subjects], len(board.rows)) for board in boards]


def test_nights_share_a_table_of_the_pinned_set_and_their_own_data_stands_below():
    one = card(subject("model", 3, "p"), subject("baseline", 9, "p", name="random"))
    two = card(
        subject("model", 2, "p"),
        subject("champion", 3, "p"),
        subject("baseline", 9, "p", name="random"),
        fresh=(subject("model", 4, "q"), subject("champion", 5, "q")),
    )
    boards = boards_of({"monday": one, "tuesday": two})
    assert shown(boards) == [
        ("Scores on evaluation set 1", ["monday", "tuesday", "random"], 1),
        ("Scores on the data of tuesday", ["tuesday", "champion"], 1),
    ]
    assert all(cell is not None for board in boards for row in board.rows for cell in row.cells)


def test_what_was_fresh_when_it_was_pinned_stands_beside_what_it_then_judged():
    before = card(subject("model", 3, "p"), fresh=(subject("model", 4, "q"), subject("champion", 5, "q")))
    after = card(subject("model", 2, "q"), ground=PINNED.model_copy(update={"name": "evaluation set 2"}))
    assert shown(boards_of({"before": before, "after": after})) == [
        ("Scores on evaluation set 2", ["before", "after"], 1),
        ("Scores on evaluation set 1", ["before"], 1),
    ]


def test_nights_on_sets_without_a_number_in_common_never_share_a_table():
    boards = boards_of({"one": card(subject("model", 3, "p")), "two": card(subject("model", 2, "q"))})
    assert [len(board.subjects) for board in boards] == [1, 1]


def test_pages_that_name_no_set_are_joined_with_those_of_equal_protocols():
    old, new = card(subject("model", 3, "p"), ground=None), card(subject("model", 2, "p"))
    assert shown(boards_of({"old": old, "new": new})) == [("Scores on evaluation set 1", ["old", "new"], 1)]
    assert shown(boards_of({"old": old})) == [("Scores", ["old"], 1)]


def test_runs_that_share_but_one_protocol_share_a_table():
    both = Subject(
        name="model",
        role="model",
        scores=subject("model", 3, "p").scores + subject("model", 1, "q", ("kl",)).scores,
    )
    boards = boards_of(
        {"p": card(subject("model", 1, "p")), "q": card(subject("model", 2, "q", ("kl",))), "both": card(both)}
    )
    assert [len(board.subjects) for board in boards] == [3]


def test_a_score_that_a_baseline_cannot_have_leaves_an_empty_cell_and_no_dash(content: PageContent, tmp_path):
    model = subject("model", 3, "p", ("fd", "reconstruction"))
    baseline = subject("baseline", 9, "p", name="random")
    columns = [RunColumn(content=PageContent(run=content.run, models=(card(model, baseline),))) for _ in range(2)]
    text = write_comparison(columns, tmp_path / "c.html").read_text()
    assert text.count("has no such score") == 1
    assert "not measured under this protocol" not in text


def test_a_number_under_another_protocol_is_a_dash(content: PageContent, tmp_path):
    one = card(
        Subject(
            name="model",
            role="model",
            scores=(*subject("model", 1, "p").scores, *subject("model", 1, "q", ("kl",)).scores),
        )
    )
    two = card(
        Subject(
            name="model",
            role="model",
            scores=(*subject("model", 2, "p").scores, *subject("model", 2, "r", ("kl",)).scores),
        )
    )
    columns = [RunColumn(content=PageContent(run=content.run, models=(one_,))) for one_ in (one, two)]
    text = write_comparison(columns, tmp_path / "c.html").read_text()
    assert text.count("not measured under this protocol") == 2
    assert "measured under different protocols" in text


def test_nights_of_one_config_are_told_apart_by_when_they_ended(content: PageContent, tmp_path):
    later = content.run.model_copy(update={"finished": content.run.finished.replace(hour=23, minute=59)})
    columns = [
        RunColumn(content=PageContent(run=run, models=(card(subject("model", 1, "p")),)))
        for run in (content.run, later)
    ]
    text = write_comparison(columns, tmp_path / "c.html").read_text()
    assert "23:59 UTC</th>" in text
    assert "weekly #1" not in text
