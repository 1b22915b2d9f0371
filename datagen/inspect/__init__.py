"""Reading, checking and showing datasets without changing them."""
