"""Beam wiring only: the bulk-index job's transforms, its runner, its progress. As little logic as possible."""
