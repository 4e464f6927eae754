"""Tables, sentences and reports that displays share: values in, text out. Imports ``domain``."""
