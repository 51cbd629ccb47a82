"""Shared by all stages: anatomy, paths, config, command lines, tables, folds, manifests, films, metrics, logs."""
