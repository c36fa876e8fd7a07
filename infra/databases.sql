-- Run once by PostgreSQL's image in an empty volume; the database `prefect` is made by POSTGRES_DB.
CREATE DATABASE mlflow;
CREATE DATABASE mlflow_auth;
