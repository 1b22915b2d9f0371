"""From a configuration to a finished dataset: plan, simulate, store, verify, report."""
