"""Reading of datasets: locations, store, sampling and loading."""
