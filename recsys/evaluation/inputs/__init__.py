"""The inputs of evaluation: predictions and labels as arrays, each mistake in them reported once."""
