"""The arm's black box as a file: what goes into it, and how it is written."""
