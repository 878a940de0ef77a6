"""The commands of this room, one module a group."""
