"""Connected Dask clients for this machine or an HPC scheduler; knows no diffraction."""
