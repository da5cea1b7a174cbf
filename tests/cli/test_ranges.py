"""Ranges of numbers on the command line."""

import argparse
import math

import pytest

from cli.ranges import AT_LEAST_ONE, PROBABILITY, SHARE, Range, number


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        (AT_LEAST_ONE, [1, 7], [0, -1, math.nan, math.inf, 10**400]),
        (PROBABILITY, [1e-9, 0.5], [0, 1, math.nan]),
        (SHARE, [0, 0.999], [-0.1, 1]),
        (Range(above=2, at_most=3), [3], [2, 3.1]),
    ],
)
def test_a_range_holds_its_ends_as_it_says(allowed, inside, outside):
    assert all(value in allowed for value in inside)
    assert not any(value in allowed for value in outside)


def test_the_message_names_the_bounds_and_what_was_received():
    with pytest.raises(
        argparse.ArgumentTypeError,
        match=r"^must be at least 0 and below 1, received 1$",
    ):
        number(float, SHARE)("1")
    assert str(Range(at_least=1, at_most=4096)) == "at least 1 and at most 4096"
