"""Bounded: producers that look at a deadline before each piece of work, so that a long request can be ended."""

from components.recipes.recipe import ClassGenerator, Generator, Images, Missing, Producer, Restorer
from components.serving.background import Deadline


class BoundedRestorer:
    """A Restorer that stops between the tiles of a large picture."""

    def __init__(self, inner: Restorer, deadline: Deadline) -> None:
        self._inner, self._deadline = inner, deadline
        self.stride = inner.stride
        self.reach_px = inner.reach_px
        self.restores_known = inner.restores_known

    def restore(self, corrupted: Images, missing: Missing) -> Images:
        """Return whole pictures, if there is time."""
        self._deadline.check()
        return self._inner.restore(corrupted, missing)


class BoundedGenerator:
    """A Generator that stops between pictures."""

    def __init__(self, inner: Generator, deadline: Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def generate(self, samples: int, seed: int, first: int = 0) -> Images:
        """Return pictures, if there is time."""
        self._deadline.check()
        return self._inner.generate(samples, seed, first)


class BoundedClassGenerator(BoundedGenerator):
    """The same of a ClassGenerator."""

    def __init__(self, inner: ClassGenerator, deadline: Deadline) -> None:
        super().__init__(inner, deadline)
        self._of_class = inner
        self.classes = inner.classes

    def generate_class(self, name: str, samples: int, seed: int, first: int = 0) -> Images:
        """Return pictures of one class, if there is time."""
        self._deadline.check()
        return self._of_class.generate_class(name, samples, seed, first)


def bounded(producer: Producer, deadline: Deadline) -> BoundedRestorer | BoundedGenerator:
    """Return a producer of the same kind that looks at `deadline`."""
    if isinstance(producer, Restorer):
        return BoundedRestorer(producer, deadline)
    if isinstance(producer, ClassGenerator):
        return BoundedClassGenerator(producer, deadline)
    return BoundedGenerator(producer, deadline)
