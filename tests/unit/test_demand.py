"""The pool's size follows the demand, within bounds."""

from sandbox_runner.pool.demand import Bounds, Demand


def demand(*, least=0, most=8, idle=10.0) -> Demand:
    return Demand(Bounds(least=least, most=most, idle=idle), now=0)


def test_it_starts_with_one():
    assert demand().target == 1
    assert demand(least=3).target == 3
    assert demand(least=3, most=2).target == 2


def test_each_run_that_finds_none_asks_for_one_more_up_to_the_bound():
    wanted = demand(most=3)
    targets = []
    for _ in range(4):
        wanted.missed()
        targets.append(wanted.target)
    assert targets == [2, 3, 3, 3]


def test_what_a_whole_window_left_unneeded_is_given_up():
    wanted = demand()
    for _ in range(4):
        wanted.missed()
    wanted.review(now=10, waiting=5)
    assert wanted.target == 5, "all were needed in this window"
    wanted.took(left=4)
    wanted.took(left=3)
    wanted.took(left=4)
    wanted.review(now=19.9, waiting=5)
    assert wanted.target == 5, "the window is not over"
    wanted.review(now=20, waiting=5)
    assert wanted.target == 2


def test_a_window_without_any_run_gives_up_all_but_the_least():
    for least in (0, 2):
        wanted = demand(least=least)
        for _ in range(4):
            wanted.missed()
        wanted.review(now=10, waiting=5)
        wanted.review(now=20, waiting=5)
        assert wanted.target == least


def test_a_window_ends_when_it_says():
    wanted = demand(idle=10)
    assert wanted.due == 10
    wanted.review(now=12, waiting=1)
    assert wanted.due == 22
