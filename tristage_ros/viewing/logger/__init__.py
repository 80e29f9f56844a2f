"""The process that calls rerun-sdk, in an environment of its own: this folder is started by path, by its Python."""
