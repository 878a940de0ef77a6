"""Who may ask: the ledger, tenants, licences, moratoria and the one decision. Imports foundation and nothing else."""
