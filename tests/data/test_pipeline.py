"""tf.data pipelines: order and augmentation belong to (seed, epoch, sample)."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from data.augment import AUGMENTATIONS, Augmentation
from data.pipeline import evaluation_dataset, steps_per_epoch, training_dataset
from data.recolour import lab_statistics
from data.samples import Samples
from data.teacher_maps import TeacherMaps, save_teacher_maps
from models.image_convention import IMAGE_CONVENTIONS

COUNT, SIZE, BATCH = 7, (16, 24), 3
STEPS = 3  # batches of 3, 3 and 1
LGPS = IMAGE_CONVENTIONS["lgps"]


@dataclass
class FakeSet:
    """Stands for a PreparedSet; the blue of sample i tells i, and reads are counted."""

    count: int = COUNT
    image_size: tuple[int, int] = SIZE
    name: str = "fake"
    reads: list[int] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [f"image{i}" for i in range(self.count)]

    def __len__(self) -> int:
        return self.count

    def batch(self, indices):
        self.reads += list(indices)
        height, width = self.image_size
        images = np.zeros((len(indices), height, width, 3), np.uint8)
        images[..., 0] = 200
        images[..., : width // 2, 1] = 100
        images[..., 2] = np.array(indices)[:, None, None]
        masks = np.zeros((len(indices), height, width, 1), np.uint8)
        masks[:, : height // 2, : width // 2] = 1
        return images, masks


def dataset(part: FakeSet | None = None, **changes):
    options = {
        "prepare": LGPS.prepare,
        "sizes": {SIZE: 1},
        "batch_size": BATCH,
        "augmentation": AUGMENTATIONS["none"],
        "seed": 5,
    }
    return training_dataset(Samples([part or FakeSet()]), **{**options, **changes})


def epochs(count: int, **changes) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """The batches of the first epochs, as arrays."""
    batches = list(dataset(**changes).take(count * STEPS).as_numpy_iterator())
    return [batches[e * STEPS : (e + 1) * STEPS] for e in range(count)]


def members(batches) -> list[int]:
    """Which samples an unaugmented epoch shows, read from their blue."""
    blue = np.concatenate([images[:, 0, 0, 2] for images, _ in batches])
    return np.rint((blue + 1) * 127.5).astype(int).tolist()


def assert_same(first, second) -> None:
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_every_sample_once_per_epoch_in_another_order():
    first, second = map(members, epochs(2))
    assert sorted(first) == sorted(second) == list(range(COUNT))
    assert first != second


def test_last_batch_is_partial():
    assert steps_per_epoch(Samples([FakeSet()]), BATCH) == STEPS
    assert steps_per_epoch(Samples([FakeSet(6)]), BATCH) == 2
    (batches,) = epochs(1)
    assert [len(images) for images, _ in batches] == [3, 3, 1]


def test_shapes_types_and_range():
    images, masks = epochs(1)[0][0]
    assert images.shape == (3, *SIZE, 3) and masks.shape == (3, *SIZE, 1)
    assert images.dtype == masks.dtype == np.float32
    # Red 200 / 127.5 - 1
    np.testing.assert_allclose(images[..., 0], 200 / 127.5 - 1, atol=1e-6)
    assert set(np.unique(masks)) == {0, 1}


def test_pvtseg_gets_bgr():
    spec = IMAGE_CONVENTIONS["pvtseg"]
    (batches,) = epochs(1, prepare=spec.prepare)
    evaluated = evaluation_dataset(Samples([FakeSet()]), spec.prepare, SIZE, BATCH)
    for images, _ in (*batches, *evaluated.as_numpy_iterator()):
        np.testing.assert_allclose(images[..., 2], 200 / 255, atol=1e-6)  # red last
        assert images[..., 0].max() <= 6 / 255 + 1e-6  # the sample's number in blue


@pytest.mark.parametrize("shuffle", [True, False])
def test_third_epoch_is_the_same_after_a_resume(shuffle):
    options = {"augmentation": AUGMENTATIONS["lgps"], "shuffle": shuffle}
    (resumed,) = epochs(1, first_epoch=2, **options)
    assert_same(resumed, epochs(3, **options)[2])


def test_two_runs_of_one_seed_are_the_same():
    options = {"augmentation": AUGMENTATIONS["lgps"]}
    (first,), (second,), (other,) = (
        epochs(1, seed=seed, **options) for seed in (5, 5, 6)
    )
    assert_same(first, second)
    assert not np.array_equal(first[0][0], other[0][0])


def test_augmentation_is_new_in_each_epoch():
    first, second = epochs(2, augmentation=AUGMENTATIONS["lgps"], shuffle=False)
    assert not np.array_equal(first[0][0], second[0][0])
    assert not np.array_equal(first[0][1], second[0][1])


def test_augmentation_of_a_sample_does_not_depend_on_its_place():
    """Shuffled or not, in batches of any size, sample i gets the same treatment."""
    options = {"augmentation": Augmentation(flip_x=0.5, flip_y=0.5)}

    def by_sample(batches):
        images = np.concatenate([images for images, _ in batches])
        return dict(zip(members([(images, None)]), images, strict=True))

    (plain,) = epochs(1, shuffle=False, **options)
    (shuffled,) = epochs(1, shuffle=True, **options)
    whole = list(dataset(batch_size=COUNT, **options).take(1).as_numpy_iterator())
    expected = by_sample(plain)
    assert list(expected) == list(range(COUNT))
    for other in (by_sample(shuffled), by_sample(whole)):
        for index, image in expected.items():
            np.testing.assert_array_equal(other[index], image)
    # Not all got the same flips.
    assert len({image[..., :2].tobytes() for image in expected.values()}) > 1


def test_without_shuffling_samples_come_in_order():
    for batches in epochs(2, shuffle=False):
        assert members(batches) == list(range(COUNT))


def test_training_resizes_image_and_mask():
    images, masks = epochs(1, sizes={(32, 32): 1})[0][0]
    assert images.shape == (3, 32, 32, 3) and masks.shape == (3, 32, 32, 1)
    assert set(np.unique(masks)) == {0, 1}
    # The quarter that is foreground stays one.
    assert masks[:, :16, :16].all() and masks.sum() == 3 * 16 * 16


def test_evaluation_is_one_ordered_pass():
    part = FakeSet()
    batches = list(
        evaluation_dataset(
            Samples([part]), LGPS.prepare, SIZE, BATCH
        ).as_numpy_iterator()
    )
    assert [len(images) for images, _ in batches] == [3, 3, 1]
    assert members(batches) == list(range(COUNT))
    images, masks = part.batch([0])
    np.testing.assert_allclose(batches[0][0][:1], images / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(batches[0][1][:1], masks)


def test_samples_are_read_as_they_are_asked_for():
    part = FakeSet(count=2000)
    training = dataset(part)
    evaluation = evaluation_dataset(Samples([part]), LGPS.prepare, SIZE, BATCH)
    assert part.reads == []
    next(iter(training))
    next(iter(evaluation))
    assert 2 * BATCH <= len(part.reads) < 500  # a few batches ahead, not the set


SIZES = {(16, 24): 0.5, (32, 32): 0.25, (8, 16): 0.25}


def test_order_of_an_earlier_version_stays():
    assert [members(batches) for batches in epochs(2)] == [
        [0, 5, 4, 6, 1, 2, 3],
        [3, 4, 6, 5, 1, 0, 2],
    ]


def test_each_batch_has_one_of_the_sizes():
    images, masks = dataset(sizes=SIZES).element_spec
    assert images.shape.as_list() == [None, None, None, 3]
    assert masks.shape.as_list() == [None, None, None, 1]
    assert dataset().element_spec[0].shape.as_list() == [None, *SIZE, 3]
    batches = [batch for batches in epochs(40, sizes=SIZES) for batch in batches]
    drawn = [images.shape[1:3] for images, _ in batches]
    assert all(
        masks.shape[1:3] == size
        for size, (_, masks) in zip(drawn, batches, strict=True)
    )
    for size, share in SIZES.items():
        # Standard deviation of a share of 120 at 0.5: sqrt(0.5² / 120) = 0.05
        assert drawn.count(size) / len(drawn) == pytest.approx(share, abs=0.12)
    assert len({tuple(drawn[e * STEPS : (e + 1) * STEPS]) for e in range(40)}) > 5


def test_shares_need_not_sum_to_one():
    scaled = {size: 8 * share for size, share in SIZES.items()}
    for one, other in zip(epochs(4, sizes=SIZES), epochs(4, sizes=scaled), strict=True):
        assert_same(one, other)


def test_drawn_sizes_are_the_same_after_a_resume():
    options = {"augmentation": AUGMENTATIONS["strong"], "sizes": SIZES}
    (resumed,) = epochs(1, first_epoch=3, **options)
    assert_same(resumed, epochs(4, **options)[3])


@pytest.mark.parametrize("sizes", [{}, {SIZE: 0}, {SIZE: 1, (8, 8): -1}])
def test_sizes_without_a_share_are_refused(sizes):
    with pytest.raises(ValueError, match="sizes.*share above 0"):
        dataset(sizes=sizes)


def test_a_donors_colours_are_measured_once(monkeypatch):
    measured = []

    def count(image):
        measured.append(image[0, 0, 2])  # the blue that tells the sample
        return lab_statistics(image)

    monkeypatch.setattr("data.pipeline.lab_statistics", count)
    epochs(20, augmentation=Augmentation(exchange_probability=1.0))
    assert sorted(measured) == list(range(COUNT))


def test_images_take_the_colours_of_a_donor():
    colours = Augmentation(exchange_probability=1.0, exchange_blend=1.0)
    (batches,) = epochs(1, augmentation=colours)
    (plain,) = epochs(1)
    for (images, masks), (before, same_masks) in zip(batches, plain, strict=True):
        assert np.abs(images - before).max() > 2 / 127.5  # two levels
        np.testing.assert_array_equal(masks, same_masks)


def test_the_teacher_s_map_moves_with_its_mask(tmp_path):
    """Maps that equal the masks stay equal to them at any size and place."""
    samples = Samples([FakeSet()])
    masks = samples.batch(range(COUNT))[1][..., 0]
    save_teacher_maps(tmp_path / "maps.npz", samples.names, masks)
    teacher = TeacherMaps(tmp_path / "maps.npz")
    turned = Augmentation(flip_x=0.5, flip_y=0.5, rotation=30, zoom=0.7)
    for augmentation, sizes in (
        (turned, {SIZE: 1}),
        (turned, {(24, 24): 1, (16, 8): 1}),
        (AUGMENTATIONS["none"], {SIZE: 1}),
    ):
        given = {"augmentation": augmentation, "sizes": sizes}
        (batches,) = epochs(1, teacher=teacher, **given)
        (plain,) = epochs(1, **given)
        for (images, both), (same, truth) in zip(batches, plain, strict=True):
            np.testing.assert_array_equal(images, same)
            np.testing.assert_array_equal(both[..., :1], truth)
            np.testing.assert_allclose(both[..., 1:], truth)
