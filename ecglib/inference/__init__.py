"""From a finished run to an exported model and predictions."""
