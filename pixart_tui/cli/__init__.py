"""The commands; results on stdout, narration on stderr."""
