"""The orchestrator's guards, one module an owner with `MUTANTS`; see `scripts.soak.properties`."""
