"""Config: one YAML file becomes one frozen, checked object; what is wrong with it, in the file's own words."""

from components.config.run import ConfigError, CorruptionConfig, ModelConfig, RunConfig, load

__all__ = ["ConfigError", "CorruptionConfig", "ModelConfig", "RunConfig", "load"]
