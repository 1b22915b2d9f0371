"""From a configuration to a finished dataset: plan, simulate, store, verify, report."""

__version__ = "0.1.0"
