"""Nothing but a sign: what was in a folder of this name is in studies/, reports/ and bench/."""

from tristage_ros.moved import tell

tell()
