"""A selection for other libraries: what each format can say, its text, how to use it there."""
