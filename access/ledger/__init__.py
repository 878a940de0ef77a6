"""The ledger itself: a chain of sealed entries, where it lies, and how it is checked. It knows no rule."""
