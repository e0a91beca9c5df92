"""Where records come from: one module for each source."""
