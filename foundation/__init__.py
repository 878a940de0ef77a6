"""The ground floor: the one error class, whole-file writes, strict settings, terminal output."""
