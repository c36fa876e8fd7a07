"""Which checkpoints stay: the last good ones, the newest, and one of each so many images."""

from components.training.checkpoint import places_to_keep


def test_the_last_good_ones_and_the_newest_stay():
    assert places_to_keep([8, 16, 24, 30], good=[8, 16, 24], last=2, every=None) == {16, 24, 30}


def test_the_checkpoint_of_a_stop_goes_with_the_next_regular_one_and_pushes_nothing_out():
    assert places_to_keep([16, 24, 30, 32], good=[16, 24, 32], last=2, every=None) == {24, 32}


def test_the_first_of_each_so_many_images_stays_for_good():
    places: set[int] = set()
    for place in range(8, 104, 8):
        places = places_to_keep({*places, place}, good={*places, place}, last=1, every=20)
    assert places == {24, 40, 64, 80, 96}  # 20 images are first passed at 24, then 40, 64, 80; 96 is the newest


def test_with_none_good_the_newest_stays():
    assert places_to_keep([8, 16], good=[], last=2, every=None) == {16}
