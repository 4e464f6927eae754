"""What goes to the terminal: of each frame that Textual draws, only what is not there yet."""
