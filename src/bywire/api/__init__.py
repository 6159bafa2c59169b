"""HTTP: the only place that knows our wire shapes. Everything here ends in a `Gateway` call."""
