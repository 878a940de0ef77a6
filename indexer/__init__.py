"""Photo -> face -> embedding -> gallery. Knows nothing of Beam, tenants or the command line."""
