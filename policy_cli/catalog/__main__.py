"""`python -m policy_cli.catalog`: the same commands in an environment that holds nothing but the catalog's sources."""

from policy_cli.catalog.command import catalog

catalog(prog_name="python -m policy_cli.catalog")
