"""What people write (bywire.yaml, operator.yaml, asset manifests) as frozen values: strict, pure."""
