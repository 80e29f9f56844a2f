"""Which recorded episodes a folder has: those of `tristage teach`, runs with a bag, or bags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tristage_ros.bags.episodes.episode import BAG, FAILURE, KEPT, SIDECAR, Episode, EpisodeError
from tristage_ros.bags.episodes.folder import Collection
from tristage_ros.datasets.values import DatasetError

METADATA = "metadata.yaml"
BAG_FILES = (".mcap", ".db3")


@dataclass(frozen=True)
class Recorded:
    """Name one episode on the disk."""

    number: int  # in its folder: that of a collection, else counted from 1
    folder: Path  # which its calibration and its file are in
    bag: Path

    @property
    def where(self) -> str:
        """Return file and episode, for a person."""
        return f"{self.bag}: episode {self.number}"

    @property
    def kept(self) -> bool:
        """Tell whether it belongs to a collection, which says what a person thinks of it."""
        return (self.folder / SIDECAR).exists()

    def read(self) -> Episode:
        """Return what is known of it beside its bag; of a bag alone nothing is.

        Raises:
            DatasetError: its file is missing or wrong.
        """
        if not self.kept:
            return Episode()
        try:
            return Episode.read(self.folder)
        except EpisodeError as error:
            raise DatasetError(f"{self.where}: {error}") from error


def found(folder: Path) -> list[Recorded]:
    """Return the episodes of a folder by their numbers; of a collection those that are whole.

    Raises:
        DatasetError: it has none.
    """
    if not folder.exists():
        raise DatasetError(f"{folder}: there is nothing of that name; give a folder of episodes")
    if _is_bag(folder):
        return [Recorded(1, folder.parent, folder)]
    if (folder / BAG).exists():
        return [Recorded(1, folder, folder / BAG)]
    places = [place for place in Collection(folder).places() if place.is_whole]
    if places:
        return [Recorded(place.number, place.path, place.bag) for place in places]
    runs = sorted(path.parent for path in folder.glob(f"*/{BAG}")) if folder.is_dir() else []
    bags = sorted(path for path in folder.iterdir() if _is_bag(path)) if folder.is_dir() else []
    named = [(run, run / BAG) for run in runs] or [(folder, bag) for bag in bags]
    if not named:
        raise DatasetError(f"{folder}: no episodes in it; give a folder of `tristage teach`, of runs, or of bags")
    return [Recorded(number, *paths) for number, paths in enumerate(named, 1)]


def wanted(recorded: Sequence[Recorded], failures: bool = False) -> list[Recorded]:
    """Return those to learn from: what was taken back or discarded is not, nor is a failure without `failures`.

    Raises:
        DatasetError: the file of one is wrong, or none is left.
    """
    chosen = [one for one in recorded if _is_wanted(one.read(), failures)]
    if not chosen:
        parent = recorded[0].folder.parent
        raise DatasetError(
            f"{parent}: all {len(recorded)} episodes failed or were discarded; tristage episodes lists them"
        )
    return chosen


def _is_wanted(episode: Episode, failures: bool) -> bool:
    return episode.standing == KEPT and (failures or episode.outcome != FAILURE)


def _is_bag(path: Path) -> bool:
    return (path / METADATA).is_file() or (path.is_file() and path.suffix in BAG_FILES)
