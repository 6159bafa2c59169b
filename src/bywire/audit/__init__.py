"""Looking back: every decision made again, every delivery exported so that a stranger can check it."""
