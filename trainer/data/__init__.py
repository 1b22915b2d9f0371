"""Reading datasets: store, locations, sampling and loading."""
