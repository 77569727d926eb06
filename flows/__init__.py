"""Prefect flows, schedules, deployments and the burnish command."""
