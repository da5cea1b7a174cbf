"""On-the-fly augmentation: what each option does, and that masks go along."""

import colorsys
from dataclasses import fields

import cv2
import numpy as np
import pytest

from data.augment import AUGMENTATIONS, Augmentation, augment
from data.recolour import LabStatistics, exchange_colours, lab_statistics

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


def draw_donor(rng: np.random.Generator) -> LabStatistics:
    """One of many donors, told apart by their lightness."""
    return LabStatistics(np.array([rng.uniform(80, 180), 140, 145]), np.full(3, 20.0))


@pytest.mark.parametrize("size", [(48, 64), (64, 64)])
@pytest.mark.parametrize("name", ["lgps", "pvtseg", "strong_geometry"])
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
        assert compared.sum() > 0.25 * compared.size
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


# (name, seed): mean of the image's three channels, sum of the mask, and the number
# that the generator gives next. Measured with the code of the runs that exist.
PINNED = {
    ("none", 0): (126.00, 38.00, 82.00, 350, 0.7296554464299441),
    ("none", 3): (126.00, 38.00, 82.00, 350, 0.7378377872921602),
    ("lgps", 0): (241.64, 196.94, 218.07, 257, 0.7296554464299441),
    ("lgps", 3): (109.15, 175.73, 142.20, 634, 0.7378377872921602),
    ("mild", 0): (237.62, 185.36, 210.54, 197, 0.7296554464299441),
    ("mild", 3): (93.76, 179.60, 136.19, 732, 0.7378377872921602),
    ("pvtseg", 0): (124.08, 37.08, 80.55, 212, 0.17565562060255901),
    ("pvtseg", 3): (125.05, 151.40, 138.20, 446, 0.7378377872921602),
}


@pytest.mark.parametrize("name, seed", PINNED)
def test_a_run_of_an_earlier_version_goes_on_with_the_same_samples(name, seed):
    columns, rows = np.meshgrid(np.arange(64), np.arange(64))
    image = np.stack([4 * columns, 4 * rows, 2 * (columns + rows)], -1)
    mask = (columns // 2 + rows > 50)[..., None]
    rng = np.random.default_rng(seed)
    image, mask = augment(
        image.astype(np.uint8), mask.astype(np.uint8), AUGMENTATIONS[name], rng
    )
    *colours, foreground, following = PINNED[name, seed]
    # Processors differ by a rounding here and there.
    np.testing.assert_allclose(image[:20].mean(axis=(0, 1)), colours, atol=0.3)
    assert int(mask[:, :20].sum()) == pytest.approx(foreground, abs=5)
    assert rng.random() == pytest.approx(following, abs=1e-12)


@pytest.mark.parametrize("size", [(20, 20), (24, 40), (64, 64), (100, 80)])
@pytest.mark.parametrize("name", ["lgps", "strong_geometry"])
def test_a_result_of_another_size_shows_the_same(name, size):
    for seed in range(20):
        stored, stored_mask = augment(
            *disc((80, 80)), AUGMENTATIONS[name], np.random.default_rng(seed)
        )
        image, mask = augment(
            *disc((80, 80)), AUGMENTATIONS[name], np.random.default_rng(seed), size
        )
        assert image.shape == (*size, 3) and mask.shape == (*size, 1)
        assert set(np.unique(mask)) <= {0, 1}
        width_height = size[::-1]
        smaller = cv2.resize(stored, width_height, interpolation=cv2.INTER_AREA)
        np.testing.assert_allclose(image.mean((0, 1)), smaller.mean((0, 1)), atol=5)
        smaller_mask = cv2.resize(
            stored_mask, width_height, interpolation=cv2.INTER_AREA
        )
        assert np.mean(mask[..., 0] != smaller_mask) < 0.05


def test_shrinking_averages_instead_of_skipping_pixels():
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, ::2] = 200  # columns of 200 and 0: grey 100 from afar
    sample = stripes, np.zeros((96, 96, 1), np.uint8)
    still = Augmentation(flip_x=1.0)
    image, _ = augment(*sample, still, np.random.default_rng(0), (30, 30))  # by 3.2
    # A window of 3 columns holds one or two bright ones: 67 to 133.
    assert 60 < image.min() and image.max() < 140


def test_logarithmic_zoom_enlarges_and_shrinks_as_often():
    white = np.full((65, 65, 3), 255, np.uint8), np.ones((65, 65, 1), np.uint8)
    shown = [run(white, seed, zoom=0.5, zoom_out=2, log_zoom=True)[1].mean()
             for seed in range(200)]  # fmt: skip
    assert np.mean(np.array(shown) == 1) == pytest.approx(0.5, abs=0.1)
    assert min(shown) == pytest.approx(0.25, abs=0.03)  # (1 / 2)²


def square_of(side: int = 129) -> tuple[np.ndarray, np.ndarray]:
    """A white square of a quarter of the area in the middle, marked by the mask."""
    mask = np.zeros((side, side, 1), np.uint8)
    mask[side // 4 : -(side // 4), side // 4 : -(side // 4)] = 1
    return np.repeat(mask * 255, 3, axis=-1), mask


def test_aspect_changes_width_against_height_and_keeps_the_area():
    ratios = []
    for seed in range(60):
        image, mask = run(square_of(), seed, aspect=0.3)
        rows, columns = np.nonzero(mask[..., 0])
        ratios.append(np.ptp(columns) / np.ptp(rows))
        assert mask.mean() == pytest.approx(square_of()[1].mean(), rel=0.05)
        assert np.mean((image[..., 0] > 127) != (mask[..., 0] == 1)) < 0.01
    # 1.3 and 1 / 0.7 = 1.43 either way, for the ratio of width to height.
    assert 0.68 < min(ratios) < 0.8 and 1.2 < max(ratios) < 1.33


def test_shear_slants_by_up_to_its_angle():
    angles = []
    for seed in range(60):
        image, mask = run(square_of(), seed, shear_probability=1.0, shear=20)
        inside = mask[..., 0]
        left = inside.argmax(axis=1)[np.flatnonzero(inside.any(axis=1))]
        angles.append(np.degrees(np.arctan((left[-1] - left[0]) / (len(left) - 1))))
        assert np.ptp(np.nonzero(inside)[0]) == np.ptp(np.nonzero(square_of()[1])[0])
        assert np.mean((image[..., 0] > 127) != (inside == 1)) < 0.01
    assert -21 < min(angles) < -15 and 15 < max(angles) < 21


def coloured() -> np.ndarray:
    """Mucosa-like colours of some spread within a black surround with JPEG noise."""
    rng = np.random.default_rng(1)
    image = np.float32([170, 100, 90]) + 15 * rng.standard_normal((64, 64, 3))
    image += 30 * rng.standard_normal((64, 64, 1))
    image = np.clip(image, 40, 255).astype(np.uint8)
    image[:, :20] = rng.integers(0, 8, (64, 20, 3))
    return image


def test_colour_exchange_reaches_the_donor_and_leaves_the_surround_alone():
    image = coloured()
    donor = LabStatistics(np.array([100.0, 150.0, 140.0]), np.array([25.0, 6.0, 5.0]))
    own = lab_statistics(image)
    result = exchange_colours(image, donor, 1.0)
    np.testing.assert_array_equal(result[:, :20], image[:, :20])
    reached = lab_statistics(result)
    np.testing.assert_allclose(reached.mean, donor.mean, atol=1)
    np.testing.assert_allclose(reached.deviation, donor.deviation, atol=1)
    half = lab_statistics(exchange_colours(image, donor, 0.5))
    np.testing.assert_allclose(half.mean, (own.mean + donor.mean) / 2, atol=1)
    assert np.abs(own.mean - donor.mean).max() > 15


def test_statistics_leave_the_surround_out():
    image = coloured()
    whole, view = lab_statistics(image), lab_statistics(image[:, 20:])
    np.testing.assert_allclose(whole.mean, view.mean, atol=1e-6)
    np.testing.assert_allclose(whole.deviation, view.deviation, atol=1e-6)


def test_an_image_that_is_black_or_of_one_colour_survives_the_exchange():
    black = np.zeros((8, 8, 3), np.uint8)
    donor = lab_statistics(coloured())
    np.testing.assert_array_equal(exchange_colours(black, donor, 1.0), black)
    grey = exchange_colours(np.full_like(black, 128), donor, 1.0)
    np.testing.assert_allclose(lab_statistics(grey).mean, donor.mean, atol=1.5)


def test_exchange_happens_as_often_and_as_strongly_as_asked():
    image = coloured()
    mask = np.zeros((64, 64, 1), np.uint8)
    target = LabStatistics(np.array([200.0, 128.0, 128.0]), np.array([10.0, 5.0, 5.0]))
    start = lab_statistics(image).mean[0]
    options = Augmentation(exchange_probability=0.4, exchange_blend=0.6)
    blends = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        result, _ = augment(image, mask, options, rng, draw_donor=lambda _: target)
        lightness = lab_statistics(result).mean[0]
        blends.append((lightness - start) / (200 - start))
    happened = np.array(blends) > 0.1
    assert happened.mean() == pytest.approx(0.4, abs=0.1)
    shares = np.array(blends)[happened]
    assert 0.58 <= shares.min() < 0.65 and 0.95 < shares.max() <= 1.02


def test_the_donor_is_drawn_by_the_samples_own_generator():
    options = Augmentation(exchange_probability=1.0)
    first, second, other = (
        augment(coloured(), np.zeros((64, 64, 1), np.uint8), options,
                np.random.default_rng(seed), draw_donor=draw_donor)[0]
        for seed in (4, 4, 5)
    )  # fmt: skip
    np.testing.assert_array_equal(first, second)
    assert abs(first.mean() - other.mean()) > 1


def test_a_wide_hue_comes_as_often_as_asked():
    shifts = []
    for seed in range(200):
        image, _ = run(plain((60, 200, 180)), seed, hue=6, wide_hue_probability=0.3,
                       wide_hue=90)  # fmt: skip
        shifts.append(abs(hsv(image)[0] - 171.4))
    # A wide one is below 8° in 8 / 90 of its cases.
    assert np.mean(np.array(shifts) > 8) == pytest.approx(0.3 * 82 / 90, abs=0.08)
    assert 75 < max(shifts) <= 92


def test_blur_jpeg_and_noise_change_the_image_and_never_the_mask():
    image, mask = disc((64, 64))
    kinds = set()
    for seed in range(40):
        result, kept = run((image, mask), seed, degrade_probability=1.0)
        np.testing.assert_array_equal(kept, mask)
        assert result.shape == image.shape and result.dtype == np.uint8
        difference = result.astype(int) - image
        assert 0 < np.abs(difference).mean() < 15
        # Blur changes the rim only, noise nearly everything and each value on its
        # own, JPEG whole blocks beside the rim.
        flat = difference[:4, :4, 0]
        kinds.add("noise" if flat.std() > 0.5 else "jpeg" if flat.any() else "blur")
    assert kinds == {"blur", "jpeg", "noise"}


def test_degraded_as_often_as_asked():
    image, mask = noise((32, 32))
    changed = [
        not np.array_equal(run((image, mask), seed, degrade_probability=0.3)[0], image)
        for seed in range(200)
    ]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.09)


@pytest.mark.parametrize("name", ["halfway", "strong"])
def test_strong_ones_repeat_and_leave_the_sample_alone(name):
    image, mask = disc((64, 64))
    kept = image.copy(), mask.copy()
    for seed in range(20):
        (first, first_mask), (second, second_mask) = (
            augment(image, mask, AUGMENTATIONS[name], np.random.default_rng(seed),
                    (48, 48), draw_donor)
            for _ in range(2)
        )  # fmt: skip
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first_mask, second_mask)
        assert set(np.unique(first_mask)) <= {0, 1}
    np.testing.assert_array_equal(image, kept[0])
    np.testing.assert_array_equal(mask, kept[1])


def test_halfway_lies_in_the_middle_of_mild_and_strong():
    mild, halfway, strong = (
        AUGMENTATIONS[name] for name in ("mild", "halfway", "strong")
    )
    for field in fields(Augmentation):
        low, middle, high = (getattr(a, field.name) for a in (mild, halfway, strong))
        if field.name in ("rotation_probability", "shear_probability", "log_zoom"):
            assert middle == high
        elif field.name == "shear":  # mild shears never
            assert middle == high / 2
        elif not isinstance(high, tuple):
            assert middle == pytest.approx((low + high) / 2), field.name


def test_parts_of_strong_together_are_strong():
    mild, strong, geometry, colour = (
        AUGMENTATIONS[name]
        for name in ("mild", "strong", "strong_geometry", "strong_colour")
    )
    for field in fields(Augmentation):
        low, high, *parts = (
            getattr(a, field.name) for a in (mild, strong, geometry, colour)
        )
        assert sorted([low, high]) == sorted(parts), field.name
