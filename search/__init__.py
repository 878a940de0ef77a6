"""Probe -> candidates -> lead. Nothing here answers without the gate's decision and a ledger entry."""
