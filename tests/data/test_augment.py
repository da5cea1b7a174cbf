"""On-the-fly augmentation: what each option does, and that masks go along."""

import colorsys

import cv2
import numpy as np
import pytest

from data.augment import AUGMENTATIONS, Augmentation, augment

POLYP, MUCOSA = (210, 70, 50), (60, 70, 190)  # reddish and bluish
SIZE = (48, 64)


def disc(size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """A picture whose colour tells the mask: red inside the disc, blue outside."""
    mask = np.zeros(size, np.uint8)
    cv2.circle(mask, (size[1] // 3, size[0] // 2), size[0] // 4, 1, -1)
    image = np.where(mask[..., None] == 1, POLYP, MUCOSA).astype(np.uint8)
    return image, mask[..., None]


def noise(size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    return image, rng.integers(0, 2, (*size, 1), np.uint8)


def plain(colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    return np.full((*SIZE, 3), colour, np.uint8), np.zeros((*SIZE, 1), np.uint8)


def run(sample, seed: int = 0, **options) -> tuple[np.ndarray, np.ndarray]:
    return augment(*sample, Augmentation(**options), np.random.default_rng(seed))


@pytest.mark.parametrize("size", [(48, 64), (64, 64)])
@pytest.mark.parametrize("name", ["lgps", "pvtseg"])
def test_image_and_mask_move_together(name, size):
    moved = 0
    for seed in range(40):
        image, mask = disc(size)
        result, moved_mask = augment(
            image, mask, AUGMENTATIONS[name], np.random.default_rng(seed)
        )
        assert result.shape == (*size, 3) and moved_mask.shape == (*size, 1)
        assert result.dtype == moved_mask.dtype == np.uint8
        assert set(np.unique(moved_mask)) <= {0, 1}
        moved += not np.array_equal(mask, moved_mask)
        # Bilinear image and nearest mask may part on the disc's rim, one pixel wide;
        # in holes and outside the frame, both black, the colour tells nothing.
        red = result[..., 0].astype(int) > result[..., 2]
        inside = moved_mask[..., 0]
        rim = cv2.dilate(inside, np.ones((3, 3))) - cv2.erode(inside, np.ones((3, 3)))
        compared = (rim == 0) & result.any(axis=-1)
        assert compared.sum() > 0.4 * compared.size
        np.testing.assert_array_equal(red[compared], inside[compared] == 1)
    assert moved > 20


def test_none_is_the_identity():
    image, mask = noise()
    for seed in range(5):
        result = augment(
            image, mask, AUGMENTATIONS["none"], np.random.default_rng(seed)
        )
        np.testing.assert_array_equal(result[0], image)
        np.testing.assert_array_equal(result[1], mask)


def test_same_generator_state_same_result():
    first, second, other = (
        augment(*noise(), AUGMENTATIONS["lgps"], np.random.default_rng(seed))
        for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


def test_the_sample_itself_is_left_alone():
    image, mask = noise()
    kept = image.copy(), mask.copy()
    for name in ("lgps", "pvtseg"):
        for seed in range(5):
            augment(image, mask, AUGMENTATIONS[name], np.random.default_rng(seed))
    np.testing.assert_array_equal(image, kept[0])
    np.testing.assert_array_equal(mask, kept[1])


@pytest.mark.parametrize("option, axis", [("flip_x", 1), ("flip_y", 0)])
def test_flips_are_exact(option, axis):
    for before, after in zip(noise(), run(noise(), **{option: 1.0}), strict=True):
        np.testing.assert_array_equal(after, np.flip(before, axis))


def test_quarter_turns_are_exact_and_all_four_come():
    image, mask = noise((32, 32))
    turned = [np.rot90(image, k) for k in range(4)]
    seen = set()
    for seed in range(20):
        result, turned_mask = run((image, mask), seed, quarter_turns=True)
        k = next(k for k in range(4) if np.array_equal(result, turned[k]))
        np.testing.assert_array_equal(turned_mask, np.rot90(mask, k))
        seen.add(k)
    assert seen == {0, 1, 2, 3}


def test_a_frame_that_is_not_square_is_not_turned():
    for seed in range(8):
        result, _ = run(noise(), seed, quarter_turns=True)
        np.testing.assert_array_equal(result, noise()[0])


def test_rotation_stays_within_its_limit():
    image = np.zeros((101, 101, 3), np.uint8)
    image[50, 50:] = 255  # a hand pointing right from the centre
    mask = np.zeros((101, 101, 1), np.uint8)
    angles = []
    for seed in range(60):
        result, _ = run((image, mask), seed, rotation=20)
        rows, columns = np.nonzero(result[..., 0] > 80)
        far = np.hypot(rows - 50, columns - 50) > 20
        assert far.any()
        angles += [np.degrees(np.arctan2(rows[far] - 50, columns[far] - 50).mean())]
    assert np.abs(angles).max() <= 20.5  # half a degree for the width of the hand
    assert min(angles) < -15 and max(angles) > 15


@pytest.mark.parametrize("size", [(48, 64), (33, 33)])
def test_zoom_never_shows_outside_the_frame(size):
    white = np.full((*size, 3), 255, np.uint8), np.ones((*size, 1), np.uint8)
    for seed in range(50):
        image, mask = run(white, seed, zoom=0.5)
        assert image.min() == 255 and mask.min() == 1


def test_zoom_crops_within_its_limit_all_over_the_frame():
    ramp = np.zeros((*SIZE, 3), np.uint8)
    ramp[..., 0] = 4 * np.arange(SIZE[1])
    shares, lefts = [], []
    for seed in range(80):
        image, _ = run((ramp, np.zeros((*SIZE, 1), np.uint8)), seed, zoom=0.5)
        left, right = image[0, 0, 0] / 4, image[0, -1, 0] / 4
        shares.append((right - left) / (SIZE[1] - 1))
        lefts.append(left)
    assert 0.49 <= min(shares) < 0.6 and 0.9 < max(shares) <= 1
    assert min(lefts) < 2 and max(lefts) > 20


def test_brightness_stays_within_its_bounds():
    shifts = [run(plain((128, 128, 128)), s, brightness=0.1)[0].astype(int) - 128
              for s in range(60)]  # fmt: skip
    assert all(np.ptp(shift) == 0 for shift in shifts)
    # 0.1 · 255 = 25.5, rounded
    assert -26 <= np.min(shifts) < -15 and 15 < np.max(shifts) <= 26


def test_contrast_stays_within_its_bounds():
    grey, dark = plain((127, 128, 127))[0], plain((27, 28, 27))[0]
    both = np.concatenate([grey, dark], axis=1)
    mask = np.zeros((*both.shape[:2], 1), np.uint8)
    factors = []
    for seed in range(60):
        image = run((both, mask), seed, contrast=0.2)[0].astype(int)
        assert np.abs(image[:, : SIZE[1]] - grey).max() <= 1  # the middle stays
        factors.append((image[0, 0, 0] - image[0, -1, 0]) / 100)
    assert 0.79 <= min(factors) < 0.9 and 1.1 < max(factors) <= 1.21


def hsv(image: np.ndarray) -> tuple[float, float, float]:
    """Hue in degrees, saturation and value of a plain picture's colour."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(image[0, 0] / 255.0))
    return 360 * hue, saturation, value


def test_hue_stays_within_its_bounds():
    colour = (60, 200, 180)  # 120 + 60 · (180 - 60) / (200 - 60) = 171.4°
    shifts = []
    for seed in range(60):
        hue, saturation, value = hsv(run(plain(colour), seed, hue=20)[0])
        assert saturation == pytest.approx(0.7, abs=0.01)
        assert value == pytest.approx(200 / 255, abs=0.005)
        shifts.append(hue - 171.4)
    # One 2° step of OpenCV's hue beside the limit, for rounding there and back.
    assert -22 <= min(shifts) < -12 and 12 < max(shifts) <= 22


def test_hue_goes_round_the_circle():
    hues = {hsv(run(plain((200, 60, 60)), s, hue=20)[0])[0] for s in range(40)}
    assert all(hue <= 22 or hue >= 338 for hue in hues)
    assert any(5 < hue for hue in hues if hue <= 22)
    assert any(hue < 355 for hue in hues if hue >= 338)


def test_saturation_stays_within_its_bounds():
    factors = []
    for seed in range(60):
        hue, saturation, value = hsv(
            run(plain((60, 200, 180)), seed, saturation=0.3)[0]
        )
        assert hue == pytest.approx(171.4, abs=2)
        assert value == pytest.approx(200 / 255, abs=0.005)
        factors.append(saturation / 0.7)
    assert 0.69 <= min(factors) < 0.85 and 1.15 < max(factors) <= 1.31


def test_elastic_warps_within_its_amplitude():
    columns = np.zeros((65, 65, 3), np.uint8)
    columns[..., 0] = 3 * np.arange(65)
    mask = np.zeros((65, 65, 1), np.uint8)
    image, _ = run((columns, mask), elastic_probability=1, elastic_amplitude=0.06)
    shift = image[8:-8, 8:-8, 0] / 3 - np.arange(65)[8:-8]
    # 0.06 · 65 = 3.9 pixels at the knots; the cubic between may overshoot by a fifth.
    assert 1 < np.abs(shift).max() < 1.2 * 3.9 + 0.5
    assert shift.std() > 0.5


def test_holes_are_cut_into_the_image_only():
    white = np.full((256, 320, 3), 255, np.uint8)
    mask = np.ones((256, 320, 1), np.uint8)
    counts = []
    for seed in range(20):
        image, kept = run((white, mask), seed, dropout_probability=1)
        np.testing.assert_array_equal(kept, mask)
        assert set(np.unique(image)) == {0, 255}
        holes, _, boxes, _ = cv2.connectedComponentsWithStats(
            (image[..., 0] == 0).astype(np.uint8)
        )
        assert boxes[1:, cv2.CC_STAT_WIDTH].min() >= 32  # 256 · 32 / 256
        if holes == 2 and boxes[1, cv2.CC_STAT_AREA] == 32 * 32:
            assert tuple(boxes[1, 2:4]) == (32, 32)
        counts.append(holes - 1)
    assert min(counts) >= 1 and 5 < max(counts) <= 10


def test_pvtseg_takes_each_of_its_four_with_probability_0_3():
    """Every combination is told apart by where a corner and the centre go."""
    size = 65
    image = np.full((size, size, 3), 200, np.uint8)
    image[:16, :16] = (255, 0, 0)
    mask = np.zeros((size, size, 1), np.uint8)
    mask[:20, :12] = 1
    flips = {
        (False, False): mask,
        (True, False): mask[:, ::-1],
        (False, True): mask[::-1],
        (True, True): mask[::-1, ::-1],
    }
    runs = 1500
    turned = dropped = 0
    still = []
    for seed in range(runs):
        rng = np.random.default_rng([11, seed])
        result, moved = augment(image, mask, AUGMENTATIONS["pvtseg"], rng)
        match = [k for k, v in flips.items() if np.array_equal(v, moved)]
        still += match
        turned += not match
        # Outside a turned frame corners are black too: holes are sought inside.
        dropped += bool((result[16:-16, 16:-16] == 0).all(axis=-1).any())
    # Standard deviation of a share of 1500 at 0.3: sqrt(0.3 · 0.7 / 1500) = 0.012
    assert turned / runs == pytest.approx(0.3, abs=0.05)
    assert np.mean([x for x, _ in still]) == pytest.approx(0.3, abs=0.05)
    assert np.mean([y for _, y in still]) == pytest.approx(0.3, abs=0.05)
    both = np.mean([x and y for x, y in still])
    assert both == pytest.approx(0.09, abs=0.03)  # independent of each other
    # A hole misses the inside with some probability, so this is a lower bound.
    assert 0.2 < dropped / runs < 0.33


def test_zooming_out_shrinks_the_frame_within_black():
    image = np.full((64, 64, 3), 200, np.uint8)
    mask = np.ones((64, 64, 1), np.uint8)
    rng = np.random.default_rng(0)
    moved, seen = augment(image, mask, Augmentation(zoom=1.5, zoom_out=1.5), rng)
    assert seen.mean() == pytest.approx(1 / 1.5**2, abs=0.03)
    np.testing.assert_array_equal(moved[seen[..., 0] == 0] < 200, True)
