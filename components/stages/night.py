"""Night: a run of one configuration on one data version for one reason."""

from components.section import Section


class Night(Section):
    """What tells one run of a configuration from another; two with equal facts are one night."""

    name: str
    """Name of the configuration."""
    data_version: int
    """Number of the shards among all that this configuration's source ever gave, from 1."""
    shards: str
    """Digest of the shards."""
    reason: str
    """Why it runs, in a few words: schedule, new data, drift, by hand."""

    @property
    def title(self) -> str:
        """What people read in lists of runs."""
        return f"{self.name} · {self.subtitle}"

    @property
    def subtitle(self) -> str:
        """The same where the name stands above already."""
        return f"data {self.data_version} · {self.reason}"
