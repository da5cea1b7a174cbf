import numpy as np
import pytest

from data import offline_augment
from data.offline_augment import augment_published

SIZE = (48, 64)


@pytest.fixture
def pair():
    """A red square on green, and its mask."""
    image = np.full((*SIZE, 3), (20, 120, 60), np.uint8)
    mask = np.zeros(SIZE, np.uint8)
    mask[15:33, 20:44] = 1
    image[mask == 1] = (220, 60, 60)
    return image, mask


def only(monkeypatch, **ranges):
    """Switches off what is not named."""
    still = {"ZOOM": (1, 1), "BRIGHTNESS": 0, "CONTRAST": (1, 1), "ELASTIC_ALPHA": 0}
    for name, value in (still | ranges).items():
        monkeypatch.setattr(offline_augment, name, value)


@pytest.mark.parametrize("seed", range(5))
def test_mask_follows_its_object(pair, seed):
    image, mask = augment_published(*pair, np.random.default_rng(seed))
    assert image.shape == (*SIZE, 3) and mask.shape == SIZE
    assert image.dtype == mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 1}
    red = image[..., 0] > 120  # halfway between 20 and 220
    agreement = (red & (mask == 1)).sum() / (red | (mask == 1)).sum()
    assert agreement > 0.95


def test_same_seed_same_result_and_inputs_untouched(pair):
    image, mask = pair[0].copy(), pair[1].copy()
    first = augment_published(image, mask, np.random.default_rng(3))
    second = augment_published(image, mask, np.random.default_rng(3))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(image, pair[0])
    assert not np.array_equal(first[0], image)


def test_nothing_switched_on_changes_nothing(pair, monkeypatch):
    only(monkeypatch)
    image, mask = augment_published(*pair, np.random.default_rng(0))
    np.testing.assert_array_equal(image, pair[0])
    np.testing.assert_array_equal(mask, pair[1])


@pytest.mark.parametrize("zoom", [0.8, 1.2])
def test_zoom_scales_the_area(pair, monkeypatch, zoom):
    only(monkeypatch, ZOOM=(zoom, zoom))
    image, mask = augment_published(*pair, np.random.default_rng(0))
    # 18 x 24 = 432 pixels become 432 zoom^2; the border of 84 zoom pixels may round.
    assert mask.sum() == pytest.approx(432 * zoom**2, abs=42 * zoom)
    assert (image.sum(axis=-1) == 0).any() == (zoom < 1)  # black around it


def test_zoom_shows_another_part_each_time(pair, monkeypatch):
    only(monkeypatch, ZOOM=(1.2, 1.2))
    centres = set()
    for seed in range(5):
        _, mask = augment_published(*pair, np.random.default_rng(seed))
        centres.add(tuple(np.argwhere(mask).mean(axis=0).round().astype(int)))
    assert len(centres) > 1


def test_light_stays_within_its_ranges(pair, monkeypatch):
    only(monkeypatch, BRIGHTNESS=25.5)
    for seed in range(20):
        image, _ = augment_published(*pair, np.random.default_rng(seed))
        shift = image.astype(int) - pair[0]
        assert np.abs(shift).max() <= 26 and np.ptp(shift[..., 1]) == 0
    only(monkeypatch, CONTRAST=(0.5, 0.5))
    image, _ = augment_published(*pair, np.random.default_rng(0))
    assert np.ptp(image[..., 0].astype(int)) == 100  # 220 - 20, halved


def test_elastic_moves_a_few_pixels_smoothly(pair, monkeypatch):
    only(monkeypatch, ELASTIC_ALPHA=34.0)
    _, mask = augment_published(*pair, np.random.default_rng(0))
    changed = (mask != pair[1]).sum()
    assert 0 < changed < 300
