"""Error rates: how often this software is wrong on photos whose subjects are known."""
