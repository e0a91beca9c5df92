"""The KerasTuner search over representations, encoders, fusion and their settings."""
