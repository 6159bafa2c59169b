"""The door: every effect on the world outside goes through `door.Door.call`, and there is no second path."""
