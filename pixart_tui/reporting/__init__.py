"""A run as one document to share: values in, text out."""
