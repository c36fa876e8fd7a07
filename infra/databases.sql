-- Run once by PostgreSQL's image in an empty volume: three accounts, each of which owns one database and no more.
-- The passwords come from the container's environment; infra/team/postgres.py does the same without containers.
\getenv prefect_password POSTGRES_PREFECT_PASSWORD
\getenv mlflow_password POSTGRES_MLFLOW_PASSWORD
\getenv mlflow_auth_password POSTGRES_MLFLOW_AUTH_PASSWORD
CREATE ROLE prefect LOGIN PASSWORD :'prefect_password';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE ROLE mlflow_auth LOGIN PASSWORD :'mlflow_auth_password';
CREATE DATABASE prefect OWNER prefect;
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_auth OWNER mlflow_auth;
REVOKE ALL ON DATABASE prefect, mlflow, mlflow_auth, postgres, template1 FROM PUBLIC;
