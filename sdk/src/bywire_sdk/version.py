"""The version of this package, as it is told to the gateway."""

VERSION = "0.1.0"
