"""One record in; an accepted structure with its labels, or a refusal with its reason, out."""
