"""The demo frames: deterministic, exactly labelled, and not solvable by colour."""

import cv2
import numpy as np
import pytest

from cli.command import UserError
from data import demo
from data.arrays import load_prepared

SIZE = 64


@pytest.fixture(scope="module")
def train_frames():
    images, masks, _ = demo.draw_frames(0, 100, SIZE)
    return images, masks[..., 0]


@pytest.fixture(scope="module")
def test_frames():
    images, masks, _ = demo.draw_frames(demo.TEST_SEED_OFFSET, 50, SIZE)
    return images, masks[..., 0]


def test_frame_is_a_function_of_its_seed():
    image, mask = demo.draw_frame(3, SIZE)
    again, mask_again = demo.draw_frame(3, SIZE)
    other, _ = demo.draw_frame(4, SIZE)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(mask, mask_again)
    assert not np.array_equal(image, other)


def test_frame_shape_range_and_black_border():
    image, mask = demo.draw_frame(0, (48, 80))
    assert image.shape == (48, 80, 3) and image.dtype == np.uint8
    assert mask.shape == (48, 80) and set(np.unique(mask)) == {0, 1}
    assert image[0, 0].max() < 30  # the corner lies outside the scope's view


def test_same_scene_at_every_size():
    small, small_mask = demo.draw_frame(0, 64)
    large, large_mask = demo.draw_frame(0, 128)
    shrunk = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - small).mean() < 8
    assert abs(small_mask.mean() - large_mask.mean()) < 0.01


def test_frames_without_polyp_with_two_and_at_the_border(train_frames):
    _, masks = train_frames
    counts = [cv2.connectedComponents(mask)[0] - 1 for mask in masks]
    assert 0 < counts.count(0) < 15
    assert counts.count(2) > 5
    assert np.mean(
        [mask[[0, -1]].any() or mask[:, [0, -1]].any() for mask in masks]
    ) > (0.05)


def colour_channels(images):
    """`(n, H, W, 3)` RGB → `(8, n, H, W)`: R, G, B, hue, saturation, value, a*, b*."""
    wide = images.reshape(-1, images.shape[2], 3)
    channels = [wide, cv2.cvtColor(wide, cv2.COLOR_RGB2HSV)]
    channels.append(cv2.cvtColor(wide, cv2.COLOR_RGB2LAB)[..., 1:])
    return (
        np.concatenate(channels, -1).reshape(*images.shape[:3], 8).transpose(3, 0, 1, 2)
    )


def pooled_dice(truth, predicted):
    return 2 * (truth & predicted).sum() / (truth.sum() + predicted.sum())


def mean_dice(truth, predicted):
    overlap = (truth & predicted).sum((1, 2))
    total = truth.sum((1, 2)) + predicted.sum((1, 2))
    return np.where(total > 0, 2 * overlap / np.maximum(total, 1), 1).mean()


def test_no_threshold_on_colour_finds_the_polyps(train_frames, test_frames):
    (images, masks), (unseen, unseen_masks) = train_frames, test_frames
    rules = [
        (channel, threshold, above)
        for channel in range(8)
        for threshold in range(0, 256, 6)
        for above in (True, False)
    ]
    channels, unseen_channels = colour_channels(images), colour_channels(unseen)
    channel, threshold, above = max(
        rules,
        key=lambda rule: pooled_dice(masks, (channels[rule[0]] > rule[1]) == rule[2]),
    )
    found = (unseen_channels[channel] > threshold) == above
    assert pooled_dice(unseen_masks, found) < 0.5
    assert mean_dice(unseen_masks, found) < 0.5


def test_command_writes_a_raw_folder(tmp_path):
    arguments = ["--out_dir", str(tmp_path), "--layout", "raw", "--image_size", "32"]
    demo.main(demo.parse_args([*arguments, "--train", "2", "--test", "1"]))
    names = [path.name for path in sorted((tmp_path / "images").iterdir())]
    assert names == [path.name for path in sorted((tmp_path / "masks").iterdir())]
    assert len(names) == 3
    written = cv2.imread(str(tmp_path / "images" / names[0]))[..., ::-1]
    np.testing.assert_array_equal(written, demo.draw_frame(0, 32)[0])


def test_command_writes_a_prepared_dataset(tmp_path):
    arguments = ["--out_dir", str(tmp_path), "--image_size", "32", "--train", "4"]
    demo.main(demo.parse_args([*arguments, "--test", "2"]))
    train, test = load_prepared(tmp_path, "train"), load_prepared(tmp_path, "test")
    assert (len(train), len(test)) == (4, 2)
    assert not set(train.names) & set(test.names)
    image, mask = demo.draw_frame(3, 32)
    images, masks = train.batch([3])
    np.testing.assert_array_equal(images[0], image)
    np.testing.assert_array_equal(masks[0, ..., 0], mask)


def test_raw_picture_that_cannot_be_written(tmp_path):
    (tmp_path / "images/demo_0000000.png").mkdir(parents=True)
    with pytest.raises(UserError, match="demo_0000000.png: cannot be written"):
        demo.write_raw(tmp_path, 1, 32, 0)


def test_negative_seed(capsys):
    with pytest.raises(SystemExit, match="2"):
        demo.parse_args(["--seed", "-1"])
    assert "--seed: must be at least 0, received -1" in capsys.readouterr().err
