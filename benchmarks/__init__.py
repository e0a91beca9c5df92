"""Speed and memory, each as a ratio to a named peer or limit measured in the same run."""
