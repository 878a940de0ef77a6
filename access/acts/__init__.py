"""What operators do to the registry: tenants, moratoria, operators; each act checked and recorded in one go."""
