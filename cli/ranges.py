"""Which numbers a flag may have: one form for all commands."""

import argparse
import math
import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """The numbers a value may have.

    Attributes:
        at_least, above: the smallest, itself allowed or not.
        at_most, below: the largest, itself allowed or not.
    """

    at_least: float = -math.inf
    above: float = -math.inf
    at_most: float = math.inf
    below: float = math.inf

    def __contains__(self, value: float) -> bool:
        """Whether a number is allowed; infinity, NaN and larger integers never are."""
        try:
            value = float(value)
        except OverflowError:
            return False
        low = self.at_least <= value and (self.above < value or self.above == -math.inf)
        high = value <= self.at_most and (value < self.below or self.below == math.inf)
        return math.isfinite(value) and low and high

    def __str__(self) -> str:
        bounds = {
            "at least": self.at_least,
            "above": self.above,
            "at most": self.at_most,
            "below": self.below,
        }
        return " and ".join(
            f"{word} {bound:.10g}"
            for word, bound in bounds.items()
            if math.isfinite(bound)
        )


NOT_NEGATIVE = Range(at_least=0)
AT_LEAST_ONE = Range(at_least=1)
PROBABILITY = Range(above=0, below=1)
SHARE = Range(at_least=0, below=1)
# Longest side of an image, pixels: beyond it one image does not fit into memory.
IMAGE_SIDE = Range(at_least=1, at_most=4096)


def number(kind: type, allowed: Range = NOT_NEGATIVE) -> Callable[[str], float]:
    """An argparse type: an `int` or a `float` within a range.

    Example:
        >>> number(int, AT_LEAST_ONE)("0")
        argparse.ArgumentTypeError: must be at least 1, received 0
    """

    def parse(text: str) -> float:
        value = kind(text)
        if value not in allowed:
            raise argparse.ArgumentTypeError(f"must be {allowed}, received {text}")
        return value

    parse.__name__ = kind.__name__  # argparse: "invalid int value"
    return parse


def hold(text: str) -> tuple[int, int]:
    """An argparse type: N of M frames, "3/5" gives (3, 5)."""
    numbers = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    enough, frames = map(int, numbers.groups()) if numbers else (0, 0)
    if not 1 <= enough <= frames:
        raise argparse.ArgumentTypeError(
            f"must be N/M, whole numbers with 1 <= N <= M, received {text}"
        )
    return enough, frames
