"""Evaluation of trained models: metrics, tables and figures."""
