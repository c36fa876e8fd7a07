"""The team's servers on one machine, without containers: PostgreSQL, S3, MLflow, Prefect, `kintsugi serve`, worker."""
