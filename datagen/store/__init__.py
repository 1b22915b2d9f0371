"""The dataset format: schema, files, ledger, readers and writers."""
