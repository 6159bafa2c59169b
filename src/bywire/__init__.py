"""bywire: fly-by-wire for software delivery. No evidence, no exposure."""

__version__ = "0.1.0"
