"""What must be identical in every stage: anatomy, paths, config, tables, folds, manifests, films, metrics, logs."""
