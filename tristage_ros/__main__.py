"""The `tristage` command as `python -m tristage_ros`."""

from tristage_ros.start import tristage

tristage()
