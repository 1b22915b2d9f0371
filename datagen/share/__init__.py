"""What becomes of finished datasets: parts of them, several in one, comparisons and what is passed on."""
