"""The source `torchvision`: well-known datasets by name, downloaded by torchvision where the network allows."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from components.data.sources.item import RawItem, Source
from components.pictures.encoding import png
from components.section import digest_of
from components.workspace import Workspace

SetName = Literal[
    "CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "KMNIST", "SVHN", "STL10", "Flowers102", "OxfordIIITPet", "Food101",
    "DTD",
]  # fmt: skip

_TRAIN_TEST = ({"train": True}, {"train": False})
_PARTS: Mapping[str, Sequence[Mapping[str, bool | str]]] = {
    "CIFAR10": _TRAIN_TEST,
    "CIFAR100": _TRAIN_TEST,
    "MNIST": _TRAIN_TEST,
    "FashionMNIST": _TRAIN_TEST,
    "KMNIST": _TRAIN_TEST,
    "SVHN": ({"split": "train"}, {"split": "test"}),
    "STL10": ({"split": "train"}, {"split": "test"}, {"split": "unlabeled"}),
    "Flowers102": ({"split": "train"}, {"split": "val"}, {"split": "test"}),
    "OxfordIIITPet": ({"split": "trainval"}, {"split": "test"}),
    "Food101": ({"split": "train"}, {"split": "test"}),
    "DTD": ({"split": "train"}, {"split": "val"}, {"split": "test"}),
}


class TorchvisionSource(Source):
    """A well-known dataset. All its own parts are joined: the split is made again, by content."""

    kind: Literal["torchvision"] = "torchvision"
    """A well-known dataset by name."""
    name: SetName
    """The dataset, by the name of its class in `torchvision.datasets`."""
    labels: bool = False
    """Keep the classes, for conditional models; images that have none are left out."""
    root: Path | None = None
    """Folder in which torchvision keeps its downloads; files already there are used without a network. None is
    `cache/torchvision` in KINTSUGI_HOME."""

    is_made_here: ClassVar[bool] = True

    def describe(self) -> str:
        """Return the dataset's name."""
        return f"{self.name} from torchvision"

    @property
    def has_classes(self) -> bool:
        """Whether classes are kept."""
        return self.labels

    def fingerprint(self) -> str:
        """Return a digest of the name and of whether there are classes: torchvision pins these datasets' files."""
        return digest_of([self.kind, self.name, *(["labels"] if self.labels else [])])

    def items(self) -> Iterator[RawItem]:
        """Yield every image as a PNG, part by part.

        Raises:
            ValueError: The files are neither under `root` nor can they be downloaded.
        """
        root = self.root or Workspace.from_environment().cache / "torchvision"
        for part in _PARTS[self.name]:
            value = next(iter(part.values()))
            folder = {True: "train", False: "test"}.get(value, value) if isinstance(value, bool) else value
            images = self._part(part, root)
            names = getattr(images, "classes", None)
            for number in range(len(images)):
                image, target = images[number]
                label = _class(target, names) if self.labels else None
                if self.labels and label is None:
                    continue
                yield RawItem(f"{folder}/{number:06d}", png(image, level=1), label=label)

    def _part(self, part: Mapping[str, bool | str], root: Path) -> Any:  # noqa: ANN401 - torchvision has no types
        # Imported here: it takes more than a second, and only this source needs it.
        from torchvision import datasets

        try:
            return getattr(datasets, self.name)(root=str(root), download=True, **part)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"source: {self.name} is not complete in {root} and could not be downloaded ({error}); "
                "put its files there or choose a source that needs no network, such as openmoji"
            ) from error


def _class(target: int, names: Sequence[str] | None) -> str | None:
    """Return the name of a class, its number where torchvision knows no names, or None for a number below 0."""
    if target < 0:
        return None
    return f"{target:03d}" if names is None else names[target]
