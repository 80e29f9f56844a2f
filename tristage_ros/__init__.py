"""Real-robot inference for vision-language-action models that see in 2D and 3D."""

__version__ = "0.1.0"
