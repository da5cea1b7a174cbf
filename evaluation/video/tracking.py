"""Follows polyps over the frames of a video, and says which have been seen enough."""

from collections import deque
from dataclasses import dataclass

Box = tuple[int, int, int, int]  # x, y, width, height in pixels
MIN_IOU = 0.3  # of the boxes of one polyp in two frames
MEMORY = 12  # frames for which a polyp out of sight keeps its number


@dataclass
class Track:
    """One polyp over the frames.

    Attributes:
        number: its identity, from 1.
        box: where it was seen last.
        seen: for each of the last frames, the newest last, whether it was seen.
    """

    number: int
    box: Box
    seen: deque[bool]


class Tracker:
    """Gives the boxes of one video their identity, frame by frame.

    Args:
        hold: (N, M): a polyp is reported when it was seen in N of the last M frames.

    Attributes:
        reported: the numbers of all polyps that have been reported so far.
    """

    def __init__(self, hold: tuple[int, int] = (1, 1)):
        self.hold = hold
        self.reported: set[int] = set()
        self._tracks: list[Track] = []
        self._count = 0

    def update(self, boxes: list[Box]) -> list[Track]:
        """Matches the boxes of the next frame, the best overlap first.

        Returns:
            The track of each box.
        """
        pairs = [
            (iou(track.box, box), track.number, n)
            for track in self._tracks
            for n, box in enumerate(boxes)
        ]
        box_of, taken = {}, set()  # track number to index of its box; those indices
        for overlap, number, n in sorted(pairs, reverse=True):
            if overlap >= MIN_IOU and number not in box_of and n not in taken:
                box_of[number] = n
                taken.add(n)
        for n in range(len(boxes)):
            if n not in taken:
                self._count += 1
                box_of[self._count] = n
                seen = deque(maxlen=max(MEMORY, self.hold[1]))
                self._tracks.append(Track(self._count, boxes[n], seen))
        track_of = {}
        for track in self._tracks:
            n = box_of.get(track.number)
            track.seen.append(n is not None)
            if n is not None:
                track.box, track_of[n] = boxes[n], track
        self._tracks = [track for track in self._tracks if any(track.seen)]
        self.reported.update(
            track.number for track in self._tracks if self.is_reported(track)
        )
        return [track_of[n] for n in range(len(boxes))]

    def is_reported(self, track: Track) -> bool:
        """Whether a polyp was seen in enough of the last frames."""
        enough, frames = self.hold
        return sum(list(track.seen)[-frames:]) >= enough

    @property
    def reports(self) -> bool:
        """Whether any polyp is reported now, in sight or not."""
        return any(map(self.is_reported, self._tracks))


def iou(first: Box, second: Box) -> float:
    """Intersection over union of two boxes, in [0, 1]."""
    sides = [
        min(first[n] + first[n + 2], second[n] + second[n + 2])
        - max(first[n], second[n])
        for n in (0, 1)
    ]
    common = max(0, sides[0]) * max(0, sides[1])
    union = first[2] * first[3] + second[2] * second[3] - common
    return common / union if union else 0.0
