"""A connected Dask client for this machine or an HPC scheduler; knows no diffraction."""
