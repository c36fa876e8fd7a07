"""Solvers: exact where the velocity is constant, and of their published order where it is not."""

import math
from itertools import pairwise

import pytest
import torch

from components.recipes.solvers import solve

SOLVERS = {"euler": 1, "midpoint": 2, "heun": 2}
START = torch.linspace(-2, 2, 9, dtype=torch.float64)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("steps", [1, 3, 10])
def test_a_straight_way_is_followed_exactly_in_any_number_of_steps(solver, steps):
    end = torch.linspace(5, 1, 9, dtype=torch.float64)
    torch.testing.assert_close(solve(lambda x, time: end - START, START, steps, solver), end)


@pytest.mark.parametrize("steps", [1, 3, 10])
def test_eulers_method_reaches_the_end_of_a_straight_way_whose_velocity_depends_on_the_place(steps):
    # The marginal velocity of the optimal-transport path to one point, equation 21 of Lipman et al. 2023, sigma_min 0.
    end = torch.full_like(START, 0.5)
    torch.testing.assert_close(solve(lambda x, time: (end - x) / (1 - time), START, steps, "euler"), end)


@pytest.mark.parametrize(("solver", "order"), SOLVERS.items())
@pytest.mark.parametrize(
    ("velocity", "growth"),
    [(lambda x, time: -1.5 * x, math.exp(-1.5)), (lambda x, time: math.cos(time) * x, math.exp(math.sin(1)))],
    ids=["decay", "changing with time"],
)
def test_errors_shrink_with_the_power_of_the_step_that_is_the_solvers_order(solver, order, velocity, growth):
    errors = [(solve(velocity, START, steps, solver) - growth * START).abs().max().item() for steps in (40, 80, 160)]
    assert errors[-1] > 1e-9  # rounding has no part in it
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.1)
