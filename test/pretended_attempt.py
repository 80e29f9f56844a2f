"""`tristage trial` with runs that start no process: what each is told lands in a file, and ends as the file says.

Called as `python pretended_attempt.py WHAT.json trial ...`; WHAT.json has `bag`, that of a run, and `by_itself`, why
the runs end that end by themselves, by their number.
"""

import json
import shutil
import sys
import time
from pathlib import Path

from rich.text import Text

from tristage_ros import cli
from tristage_ros.bags.episodes.episode import Episode
from tristage_ros.bags.episodes.folder import Collection
from tristage_ros.commands.trial import trial

WHAT = Path(sys.argv[1])


class PretendedAttempt:
    """Stand where the graph is started; all else is real."""

    def __init__(self, folder, name, arguments):
        self.what = json.loads(WHAT.read_text())
        self.collection, self.began, self.number = Collection(folder / "episodes"), None, 0
        self.started = time.monotonic()
        self.told = WHAT.with_suffix(".started")
        with self.told.open("a") as file:
            file.write(json.dumps({"name": name, **arguments}) + "\n")
        self.run = len(self.told.read_text().splitlines())

    def spin(self, seconds=0.02):
        time.sleep(0.01)

    @property
    def seconds(self):
        return 0.0 if self.began is None else time.monotonic() - self.began

    @property
    def start_picture(self):
        return self.collection.start_picture()

    overlay = "/episodes/start_overlay"

    def missing(self):
        return "policy" if time.monotonic() < self.started + 0.1 else ""

    def trouble(self):
        return ""

    def over(self):
        return self.what["by_itself"].get(str(self.run), "") if self.seconds > 0.2 else ""

    def arm(self):
        return Text("arm: holding")

    def begin(self):
        place = self.collection.begin()
        shutil.copytree(self.what["bag"], place.bag)
        Episode(task="pick").written(place.path)
        (place.path / "start.png").write_bytes(b"")
        self.collection.finish(place)
        self.began, self.number = time.monotonic(), place.number

    def conclude(self, outcome):
        pass

    def halt(self):
        pass

    def end(self, ended):
        pass


if __name__ == "__main__":
    trial.Attempt = PretendedAttempt
    sys.exit(cli.main(sys.argv[2:]))
